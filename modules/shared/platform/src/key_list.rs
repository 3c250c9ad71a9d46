//! Lists of keys in statements.

/// Some keys, the last one repeated until there are 1, 2, 4, 8 or so of them: each number is a statement of its own, which the server
/// plans and keeps.
pub fn padded<K: Clone>(keys: impl IntoIterator<Item = K>) -> Vec<K> {
    let mut keys: Vec<K> = keys.into_iter().collect();
    if let Some(last) = keys.last().cloned() {
        keys.resize(keys.len().next_power_of_two(), last);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::padded;

    #[test]
    fn a_list_has_one_of_few_lengths() {
        assert_eq!(padded([7, 8, 9]), [7, 8, 9, 9]);
        assert_eq!(padded([7]), [7]);
        assert!(padded(Vec::<i32>::new()).is_empty());
    }
}
