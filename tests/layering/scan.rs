//! Finds the paths in a source file that lead from one of the crate's modules to another: `crate::x`,
//! and `super::x` that climbs up to the crate.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::slice::Iter;

/// What a source file uses of the crate's modules at the top.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Every module named in a path, itself included.
    pub(crate) imports: BTreeSet<String>,
    /// Those of them that are handed on with `pub use`.
    pub(crate) reexports: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Other(char),
}

/// Scans a file whose own module lies `level` below the crate: 1 for `src/ui/mod.rs`.
pub(crate) fn scan(source: &str, level: usize) -> Uses {
    let tokens = tokens(source);
    let mut scan = Scan {
        tokens: tokens.iter().peekable(),
        level,
        uses: Uses::default(),
    };
    scan.run();
    scan.uses
}

struct Scan<'a> {
    tokens: Peekable<Iter<'a, Token>>,
    level: usize,
    uses: Uses,
}

impl Scan<'_> {
    fn run(&mut self) {
        // For each open brace, whether it belongs to an inline module.
        let mut braces = Vec::new();
        let mut before: [Option<&Token>; 2] = [None, None];
        let mut public = false;
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Other('{') => {
                    let word = |token: Option<&Token>| matches!(token, Some(Token::Word(_)));
                    let keyword = Some(&Token::Word("mod".to_owned()));
                    let module = before[0] == keyword && word(before[1]);
                    self.level += usize::from(module);
                    braces.push(module);
                }
                Token::Other('}') => self.level -= usize::from(braces.pop() == Some(true)),
                Token::Other(';') => public = false,
                Token::Word(word) if word == "pub" => public = true,
                Token::Word(word) if word == "use" => {
                    for path in self.tree(&[]) {
                        self.note(&path, public);
                    }
                    public = false;
                }
                Token::Word(word) if word == "crate" || word == "super" || word == "self" => {
                    if before[1] != Some(&Token::PathSeparator) {
                        let path = self.path(word);
                        self.note(&path, false);
                    }
                }
                Token::Word(_) => public &= is_visibility(token),
                Token::PathSeparator | Token::Other(_) => {}
            }
            before = [before[1], Some(token)];
        }
    }

    /// The rest of a path that began with `first`.
    fn path(&mut self, first: &str) -> Vec<String> {
        let mut path = vec![first.to_owned()];
        while self.tokens.next_if_eq(&&Token::PathSeparator).is_some() {
            match self.tokens.next() {
                Some(Token::Word(word)) => path.push(word.clone()),
                Some(Token::PathSeparator | Token::Other(_)) | None => break,
            }
        }
        path
    }

    /// The paths of a `use` behind `prefix`, up to the `;`, `,` or `}` that ends them.
    fn tree(&mut self, prefix: &[String]) -> Vec<Vec<String>> {
        let mut path = prefix.to_vec();
        let mut found = Vec::new();
        let mut group = false;
        while let Some(token) = self.tokens.peek() {
            match token {
                Token::Other(';' | ',' | '}') => break,
                Token::Other('{') => {
                    group = true;
                    loop {
                        self.tokens.next();
                        found.extend(self.tree(&path));
                        if self.tokens.peek() != Some(&&Token::Other(',')) {
                            break;
                        }
                    }
                }
                Token::Word(word) => path.push(word.clone()),
                Token::Other('*') => path.push("*".to_owned()),
                Token::PathSeparator | Token::Other(_) => {}
            }
            self.tokens.next();
        }
        if !group && path.len() > prefix.len() {
            found.push(path);
        }
        found
    }

    fn note(&mut self, path: &[String], public: bool) {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = match words.as_slice() {
            ["crate", rest @ ..] => rest.first(),
            words => {
                let words = words.strip_prefix(&["self"]).unwrap_or(words);
                let climbed = words.iter().take_while(|word| **word == "super").count();
                if climbed == 0 || climbed < self.level {
                    return;
                }
                words.get(climbed)
            }
        };
        // Nothing follows in `pub(crate)` and `pub(super)`.
        let Some(name) = name.map(|name| (*name).to_owned()) else {
            return;
        };
        if public {
            self.uses.reexports.insert(name.clone());
        }
        self.uses.imports.insert(name);
    }
}

/// Words between `pub` and `use`, as in `pub(in crate::app) use`.
fn is_visibility(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.as_str(), "in" | "crate" | "super" | "self"))
}

/// Words, `::` and other marks; comments, texts and characters are left out.
fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let end = end.unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            end
        } else if rest.starts_with("::") {
            found.push(Token::PathSeparator);
            2
        } else {
            if !c.is_whitespace() {
                found.push(Token::Other(c));
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

/// Length of the text or character that `rest` begins with, if it does. A lifetime is none.
fn literal(rest: &str) -> Option<usize> {
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 1 + hashes + 1;
            return Some(
                rest[start..]
                    .find(&end)
                    .map_or(rest.len(), |at| start + at + end.len()),
            );
        }
    }
    let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut escaped = false;
    for (count, (at, c)) in rest.char_indices().skip(1).enumerate() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            // 'a is a lifetime where no quote follows; '\u{7f}' has been seen to be escaped.
            _ if quote == '\'' && count == 0 && !rest[at + c.len_utf8()..].starts_with('\'') => {
                return None;
            }
            _ => {}
        }
    }
    Some(rest.len())
}

fn names(of: &BTreeSet<String>) -> Vec<&str> {
    of.iter().map(String::as_str).collect()
}

#[test]
fn paths_from_the_crate_are_seen() {
    let source = "use crate::{ui::scene, config::{Zone, a}, units as u};\n// crate::app\n\
                  let x = crate::sys::now(); /* crate::no */ let y = \"crate::text\";";
    assert_eq!(
        names(&scan(source, 2).imports),
        ["config", "sys", "ui", "units"]
    );
}

#[test]
fn paths_that_climb_up_to_the_crate_are_seen() {
    for (source, level, expected) in [
        ("use super::ui::scene;", 1, &["ui"][..]),
        ("let x = super::ui::scene();", 1, &["ui"]),
        ("use super::{ui, config::Zone};", 1, &["config", "ui"]),
        ("use super::ui;", 2, &[]),
        (
            "use super::super::{ui::{a, b}, units};",
            2,
            &["ui", "units"],
        ),
        ("use super::{a, super::ui};", 2, &["ui"]),
        ("use {super::super::ui, std::fs};", 2, &["ui"]),
        ("fn f() { self::super::super::ui::draw() }", 2, &["ui"]),
        ("use super::super::*;", 2, &["*"]),
        ("use super::super::super::ui;", 2, &["ui"]),
        ("use super::super as root;", 2, &["as"]),
        ("use self::a::super_b; use b::super_::c;", 1, &[]),
    ] {
        assert_eq!(names(&scan(source, level).imports), expected, "{source}");
    }
}

#[test]
fn a_module_within_a_file_is_one_level_further_down() {
    let source =
        "mod tests { use super::ui; fn f() { super::super::config::g() } } use super::sys;";
    assert_eq!(names(&scan(source, 1).imports), ["config", "sys"]);
}

#[test]
fn what_is_handed_on_is_seen() {
    let source = "pub use crate::ui::scene; pub(crate) use super::sys::a; pub fn f() {} use crate::units;\
                  pub use own::Thing; pub mod inner;";
    let uses = scan(source, 1);
    assert_eq!(names(&uses.reexports), ["sys", "ui"]);
    assert_eq!(names(&uses.imports), ["sys", "ui", "units"]);
}

#[test]
fn texts_and_characters_do_not_lead_astray() {
    let source = "let a = '\"'; let b: &'static str = r#\"super::\"ui\"#; let c = '\\''; let d = b'{'; \
                  let e = \"\\\"{\"; use super::sys;";
    assert_eq!(names(&scan(source, 1).imports), ["sys"]);
}
