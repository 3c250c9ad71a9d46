//! The readable part of a product's address.

use kernel::Sku;
use uuid::Uuid;

/// The longest part that comes from the name, in characters.
const MAX_NAME_PART: usize = 80;

/// The slugs to try for a new product, best first: its name; with its SKU, if the name is taken; with the end of its
/// id, which nobody else has. A slug stays when the product is renamed: addresses that were given out must not break.
pub(crate) fn candidates(name: &str, sku: &Sku, id: Uuid) -> [String; 3] {
    let sku = sku.as_str().to_ascii_lowercase();
    let name = from_name(name);
    let id = id.simple().to_string();
    let tail = id.get(20..).unwrap_or(&id);
    if name.is_empty() {
        return [sku.clone(), format!("product-{sku}"), format!("{sku}-{tail}")];
    }
    [name.clone(), format!("{name}-{sku}"), format!("{name}-{sku}-{tail}")]
}

/// Letters and digits of ASCII in lower case; whatever lies between two of them becomes one hyphen.
fn from_name(name: &str) -> String {
    let mut slug = String::new();
    let mut gap = false;
    for letter in name.chars().flat_map(char::to_lowercase) {
        let spelled = spell(letter);
        // An apostrophe joins: "children's" is one word.
        if spelled.is_empty() {
            gap = gap || !matches!(letter, '\'' | '’');
            continue;
        }
        let needed = spelled.len() + usize::from(gap);
        if slug.len() + needed > MAX_NAME_PART {
            break;
        }
        if gap && !slug.is_empty() {
            slug.push('-');
        }
        gap = false;
        slug.push_str(&spelled);
    }
    slug
}

/// A letter in ASCII; nothing for what has no spelling there.
fn spell(letter: char) -> String {
    let spelled = match letter {
        'a'..='z' | '0'..='9' => return letter.to_string(),
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ō' | 'ő' => "o",
        'ö' | 'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => "",
    };
    spelled.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slugs(name: &str, sku: &str) -> [String; 3] {
        candidates(name, &Sku::parse(sku).unwrap(), Uuid::from_u128(0x019357a07b2c7c3e9f005d1c2b3a4f5e))
    }

    #[test]
    fn a_slug_is_the_name_then_the_sku_then_the_id() {
        let expected = ["blue-mug-0-5-l", "blue-mug-0-5-l-MUG.B_1", "blue-mug-0-5-l-MUG.B_1-5d1c2b3a4f5e"];
        assert_eq!(slugs("  Blue MUG, 0.5 l! ", "MUG.B_1"), expected.map(str::to_ascii_lowercase));
        assert_eq!(slugs("Children's Größe", "X")[0], "childrens-groesse");
    }

    #[test]
    fn a_name_without_latin_letters_leaves_the_sku() {
        assert_eq!(slugs("茶碗", "CUP-1")[0], "cup-1");
        assert_eq!(slugs("!?", "CUP-1")[1], "product-cup-1");
    }

    #[test]
    fn a_slug_is_bounded() {
        let [name, _, longest] = slugs(&"ß ".repeat(100), &"S".repeat(64));
        assert!(name.len() <= MAX_NAME_PART && !name.ends_with('-'), "{name}");
        assert!(longest.len() <= 200, "{longest}");
    }
}
