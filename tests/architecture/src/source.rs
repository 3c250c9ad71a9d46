//! A Rust file as a flat list of the names it mentions, in their order.

use std::collections::BTreeMap;
use std::str::FromStr;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below the root of the workspace.
    pub(crate) path: String,
    pub(crate) mentions: Vec<Mention>,
    /// String literals that are not documentation.
    pub(crate) texts: Vec<Text>,
    /// Why the file is not Rust; then it mentions nothing.
    pub(crate) broken: Option<String>,
}

/// A name or path; keywords are names too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// What the path says, with the file's own imports and aliases written out: `db::Schema` under
    /// `use sea_orm as db;` is `sea_orm::Schema`.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) lead: Lead,
    /// In a `use` or an `extern crate`.
    pub(crate) imported: bool,
    pub(crate) follow: Follow,
    /// The attribute or macro that it stands in, `#[path::to::this(...)]`; the innermost if there are several.
    pub(crate) inside: Option<String>,
    /// In an attribute, anywhere.
    pub(crate) in_attribute: bool,
    /// The path right behind `#[`.
    pub(crate) names_attribute: bool,
}

/// What stands before a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// Nothing of note: the first name is in scope, or a crate.
    Fresh,
    /// A dot: a method or field.
    Dot,
    /// `>::`: the rest of a qualified path.
    Qualified,
}

/// What stands behind a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// `(`: a call, or arguments.
    Parenthesis,
    /// `!` and a bracket: a macro.
    Bang,
    /// A single `=`.
    Equals,
    Other,
}

/// A string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) content: String,
    pub(crate) line: usize,
}

impl Mention {
    /// The last name of the path.
    pub(crate) fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Whether it is this one name alone.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self.path.as_slice(), [only] if only == name)
    }

    /// Whether any name of the path begins like this.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.path.iter().any(|name| name.starts_with(prefix))
    }

    /// Whether it calls a method of this name: `x.name(...)` or `Type::name(...)`, but not `module::name(...)`.
    pub(crate) fn calls_method(&self, name: &str) -> bool {
        let owner_is_a_type = match self.path.as_slice() {
            [.., owner, _] => owner.starts_with(char::is_uppercase),
            _ => self.lead != Lead::Fresh,
        };
        self.follow == Follow::Parenthesis && owner_is_a_type && self.last() == name
    }

    /// The path as it is written in Rust.
    pub(crate) fn written(&self) -> String {
        self.path.join("::")
    }
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn parse(path: String, text: &str) -> Self {
        let mut reader = Reader::default();
        let broken = match TokenStream::from_str(text) {
            Ok(tokens) => {
                reader.read(tokens, &Place::default());
                None
            }
            Err(error) => Some(error.to_string()),
        };
        reader.write_out_imports();
        Self { path, mentions: reader.mentions, texts: reader.texts, broken }
    }
}

/// Where the reader is.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The path before the braces of a `use`.
    prefix: Vec<String>,
    importing: bool,
    inside: Option<String>,
    in_attribute: bool,
}

#[derive(Default)]
struct Reader {
    mentions: Vec<Mention>,
    texts: Vec<Text>,
    /// What a name of this file stands for.
    imports: BTreeMap<String, Vec<String>>,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream, place: &Place) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut place = place.clone();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Punct(sign) if sign.as_char() == '#' => {
                    at = self.read_attribute(&tokens, at, &place)
                }
                TokenTree::Punct(sign) if sign.as_char() == ';' => {
                    place.importing = false;
                    at += 1;
                }
                TokenTree::Ident(_) => at = self.read_path(&tokens, at, &mut place),
                TokenTree::Group(group) => {
                    let within = Place { prefix: Vec::new(), ..place.clone() };
                    // The braces of `use {a, b};` hold paths of their own; any other brackets end an import.
                    self.read(group.stream(), &within);
                    at += 1;
                }
                TokenTree::Literal(literal) => {
                    if let Some((_, content)) = literal.to_string().split_once('"') {
                        self.texts
                            .push(Text { content: content.to_owned(), line: literal.span().start().line });
                    }
                    at += 1;
                }
                TokenTree::Punct(_) => at += 1,
            }
        }
    }

    /// Reads `#[...]` or `#![...]`; returns what comes next. Doc comments are attributes as well, and are passed over.
    fn read_attribute(&mut self, tokens: &[TokenTree], at: usize, place: &Place) -> usize {
        let group_at = if is_sign(tokens.get(at + 1), '!') { at + 2 } else { at + 1 };
        let Some(TokenTree::Group(group)) = tokens.get(group_at) else { return at + 1 };
        let within: Vec<TokenTree> = group.stream().into_iter().collect();
        let (name, _) = path_at(&within, 0);
        if name != ["doc"] {
            let first = self.mentions.len();
            let inside = Some(name.join("::"));
            self.read(group.stream(), &Place { inside, in_attribute: true, ..place.clone() });
            if let Some(mention) = self.mentions.get_mut(first) {
                mention.names_attribute = true;
            }
        }
        group_at + 1
    }

    /// Reads a path and what belongs to it; returns what comes next.
    fn read_path(&mut self, tokens: &[TokenTree], at: usize, place: &mut Place) -> usize {
        let line = tokens.get(at).map_or(1, |token| token.span().start().line);
        let lead = lead_of(tokens, at);
        let (mut names, mut next) = path_at(tokens, at);
        if lead == Lead::Fresh && names == ["use"] && !is_sign(tokens.get(next), '<') {
            place.importing = true;
        }
        if lead == Lead::Fresh && names == ["extern"] && is_name(tokens.get(next), "crate") {
            place.importing = true;
            next += 1;
        }
        let is_keyword =
            matches!(names.as_slice(), [only] if ["use", "extern", "pub", "as"].contains(&only.as_str()));
        if !is_keyword {
            names.splice(0..0, place.prefix.iter().cloned());
        }
        // `a::{...}` and `a::*`.
        let goes_on = ends_in_separator(tokens, next);
        if let (true, Some(TokenTree::Group(tree))) = (place.importing && goes_on, tokens.get(next)) {
            let within = Place { prefix: names, ..place.clone() };
            self.read(tree.stream(), &within);
            return next + 1;
        }
        if place.importing && names.len() > 1 && names.last().is_some_and(|name| name == "self") {
            names.pop();
        }
        if place.importing && !is_keyword && !goes_on {
            let known_as = match (tokens.get(next), tokens.get(next + 1)) {
                (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(alias))) if *word == "as" => {
                    next += 2;
                    Some(alias.to_string())
                }
                _ => names.last().cloned(),
            };
            self.imports.extend(known_as.map(|known_as| (known_as, names.clone())));
        }
        if !is_keyword && self.mentions.last().is_some_and(|before| before.is("mod")) {
            // A module of the file's own may be called like a crate.
            let own = ["self".to_owned()].into_iter().chain(names.iter().cloned()).collect();
            self.imports.extend(names.last().cloned().map(|name| (name, own)));
        }
        let follow = follow_of(tokens, next);
        let inside = place.inside.clone();
        let macro_name = names.join("::");
        self.mentions.push(Mention {
            path: names,
            line,
            lead,
            imported: place.importing && !is_keyword,
            follow,
            inside,
            in_attribute: place.in_attribute,
            names_attribute: false,
        });
        if let (Follow::Bang, Some(TokenTree::Group(arguments))) = (follow, tokens.get(next + 1)) {
            let within =
                Place { prefix: Vec::new(), importing: false, inside: Some(macro_name), ..place.clone() };
            self.read(arguments.stream(), &within);
            return next + 2;
        }
        next
    }

    fn write_out_imports(&mut self) {
        for mention in &mut self.mentions {
            if mention.imported || mention.lead != Lead::Fresh {
                continue;
            }
            let [first, _, ..] = mention.path.as_slice() else { continue };
            if let Some(full) = self.imports.get(first) {
                mention.path.splice(0..1, full.iter().cloned());
            }
        }
    }
}

fn is_sign(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_name(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if *ident == name)
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_sign(tokens.get(at), ':') && is_sign(tokens.get(at + 1), ':')
}

fn ends_in_separator(tokens: &[TokenTree], next: usize) -> bool {
    next.checked_sub(2).is_some_and(|at| is_separator(tokens, at))
}

/// The names of the path that begins here, and where it ends: behind its last name, or behind a `::` that no name follows.
fn path_at(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let mut names = Vec::new();
    let mut next = at;
    while let Some(TokenTree::Ident(name)) = tokens.get(next) {
        let name = name.to_string();
        names.push(name.strip_prefix("r#").map_or(name.clone(), str::to_owned));
        next += 1;
        if !is_separator(tokens, next) {
            break;
        }
        next += 2;
    }
    (names, next)
}

fn lead_of(tokens: &[TokenTree], at: usize) -> Lead {
    let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at));
    if is_sign(before(1), '.') && !is_sign(before(2), '.') {
        return Lead::Dot;
    }
    let qualified = is_sign(before(1), ':') && is_sign(before(2), ':') && is_sign(before(3), '>');
    if qualified { Lead::Qualified } else { Lead::Fresh }
}

fn follow_of(tokens: &[TokenTree], next: usize) -> Follow {
    match tokens.get(next) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => Follow::Parenthesis,
        Some(TokenTree::Punct(sign))
            if sign.as_char() == '!' && matches!(tokens.get(next + 1), Some(TokenTree::Group(_))) =>
        {
            Follow::Bang
        }
        Some(TokenTree::Punct(sign)) if sign.as_char() == '=' && sign.spacing() == Spacing::Alone => {
            Follow::Equals
        }
        _ => Follow::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let source = Source::parse("x.rs".to_owned(), text);
        assert_eq!(source.broken, None);
        source.mentions.iter().map(Mention::written).collect()
    }

    #[test]
    fn imports_are_taken_apart_and_written_out() {
        let text =
            "use a::{self, b::{C, D as E}, f::*}; use g as h; fn x() { h::i(); E::j(); b::k(); ::l::m() }";
        let expected = [
            "use",
            "a",
            "a::b::C",
            "a::b::D",
            "a::f",
            "use",
            "g",
            "fn",
            "x",
            "g::i",
            "a::b::D::j",
            "b::k",
            "l::m",
        ];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn macros_are_read_and_comments_and_strings_are_not() {
        let text = "/// a::b\n//! c::d\nfn e() { f!(g::h, \"i::j\"); /* k::l */ }";
        assert_eq!(paths(text), ["fn", "e", "f", "g::h"]);
        let source = Source::parse("x.rs".to_owned(), text);
        assert_eq!(source.texts, [Text { content: "i::j\"".to_owned(), line: 3 }]);
    }

    #[test]
    fn attributes_know_their_name() {
        let source = Source::parse("x.rs".to_owned(), "#[a::b(c = \"d\", e(f))]\nfn g() { cfg!(h = \"i\") }");
        let seen: Vec<_> = source
            .mentions
            .iter()
            .map(|mention| {
                (mention.written(), mention.inside.as_deref().unwrap_or("-"), mention.names_attribute)
            })
            .collect();
        let expected = [
            ("a::b", "a::b", true),
            ("c", "a::b", false),
            ("e", "a::b", false),
            ("f", "a::b", false),
            ("fn", "-", false),
            ("g", "-", false),
            ("cfg", "-", false),
            ("h", "cfg", false),
        ];
        assert_eq!(seen, expected.map(|(path, inside, names)| (path.to_owned(), inside, names)));
    }

    #[test]
    fn methods_are_told_from_functions_of_the_same_name() {
        let source = Source::parse(
            "x.rs".to_owned(),
            "fn x() { t.a(); T::a(); m::a(); a(); <T as U>::a(); t.a; 0..a() }",
        );
        let calls = source.mentions.iter().filter(|mention| mention.calls_method("a")).count();
        assert_eq!(calls, 3);
    }

    #[test]
    fn what_is_not_rust_is_said() {
        assert!(Source::parse("x.rs".to_owned(), "fn x() {").broken.is_some());
    }
}
