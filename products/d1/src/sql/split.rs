//! Finding where a statement ends: at a semicolon that is not in a text, a name, a comment or the body of a trigger. What
//! a statement says is SQLite's business.

/// What a text begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A statement, with its semicolon if it has one, and what comes behind it.
    Statement(&'a str, &'a str),
    /// Nothing but white space, comments and semicolons.
    Nothing,
}

/// Where we are in a statement, as far as triggers matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// Behind EXPLAIN.
    Explain,
    /// Behind CREATE, TEMP or TEMPORARY.
    Create,
    Plain,
    /// In a trigger, whose body holds statements of its own.
    Trigger,
    /// Behind a semicolon in a trigger.
    TriggerSemicolon,
    /// Behind the END that may be a trigger's last word.
    TriggerEnd,
}

/// Whether a statement's first word is one of these.
pub(crate) fn begins_with(sql: &str, words: &[&str]) -> bool {
    words.iter().any(|word| sql.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

/// The first statement of a text. `is_whole` says that no more text follows: then an unfinished statement is one too.
/// `None`: more of the text is needed to know.
pub(crate) fn next_statement(text: &str, is_whole: bool) -> Option<Piece<'_>> {
    let begins_with_a_word = || text.trim_start().starts_with(|first: char| first.is_ascii_alphabetic());
    if is_whole && !text.as_bytes().contains(&b';') && begins_with_a_word() {
        // By far the most frequent, and no need to look at each word.
        return Some(Piece::Statement(text, ""));
    }
    let mut place = Place::Start;
    let (mut statement, mut rest) = (text, text);
    while let Some(token) = Token::first(rest, is_whole)? {
        rest = &rest[token.text.len()..];
        let was = place;
        place = place.behind(&token);
        if token.kind == Kind::Semicolon && place == Place::Start {
            if was != Place::Start {
                return Some(Piece::Statement(&statement[..statement.len() - rest.len()], rest));
            }
            statement = rest;
        }
    }
    match (is_whole, place) {
        (true, Place::Start) => Some(Piece::Nothing),
        (true, _) => Some(Piece::Statement(statement, "")),
        (false, _) => None,
    }
}

impl Place {
    fn behind(self, token: &Token<'_>) -> Self {
        let is = |word: &str| token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word);
        match (self, token.kind) {
            (place, Kind::Blank) => place,
            (Self::Trigger | Self::TriggerSemicolon, Kind::Semicolon) => Self::TriggerSemicolon,
            (_, Kind::Semicolon) => Self::Start,
            (Self::Start, _) if is("explain") => Self::Explain,
            // EXPLAIN QUERY PLAN CREATE …
            (Self::Explain, _) if is("query") || is("plan") => Self::Explain,
            (Self::Start | Self::Explain, _) if is("create") => Self::Create,
            (Self::Create, _) if is("temp") || is("temporary") => Self::Create,
            (Self::Create, _) if is("trigger") => Self::Trigger,
            (Self::TriggerSemicolon, _) if is("end") => Self::TriggerEnd,
            (Self::Trigger | Self::TriggerSemicolon | Self::TriggerEnd, _) => Self::Trigger,
            _ => Self::Plain,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Semicolon,
    /// White space or a comment.
    Blank,
    Word,
    Other,
}

struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

impl<'a> Token<'a> {
    /// The first token. `None`: more text is needed. `Some(None)`: there is none.
    fn first(text: &'a str, is_whole: bool) -> Option<Option<Self>> {
        let all = text.as_bytes();
        let Some(&first) = all.first() else { return Some(None) };
        let second = all.get(1).copied();
        let open = |is_open: bool| if is_whole || !is_open { Some(()) } else { None };
        let (kind, bytes) = match first {
            b';' => (Kind::Semicolon, 1),
            b'-' if second == Some(b'-') => {
                let end = all.iter().position(|&byte| byte == b'\n');
                open(end.is_none())?;
                (Kind::Blank, end.map_or(all.len(), |end| end + 1))
            }
            b'/' if second == Some(b'*') => {
                let end = text[2..].find("*/");
                open(end.is_none())?;
                (Kind::Blank, end.map_or(all.len(), |end| end + 4))
            }
            b'-' | b'/' if second.is_none() => {
                open(true)?;
                (Kind::Other, 1)
            }
            b'\'' | b'"' | b'`' | b'[' => {
                let closing = if first == b'[' { b']' } else { first };
                // A doubled quote ends one text and begins the next: the same to us.
                let end = all[1..].iter().position(|&byte| byte == closing);
                open(end.is_none())?;
                (Kind::Other, end.map_or(all.len(), |end| end + 2))
            }
            byte if byte.is_ascii_whitespace() || byte == b'\x0b' => (Kind::Blank, 1),
            byte if is_of_word(byte) => {
                let end = all.iter().position(|&byte| !is_of_word(byte));
                open(end.is_none())?;
                (Kind::Word, end.unwrap_or(all.len()))
            }
            _ => (Kind::Other, 1),
        };
        Some(Some(Self { kind, text: &text[..bytes] }))
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || 128 <= byte
}

#[cfg(test)]
mod tests {
    use super::{Piece, next_statement};

    fn split(mut text: &str) -> Vec<&str> {
        let mut statements = Vec::new();
        while let Some(Piece::Statement(statement, rest)) = next_statement(text, true) {
            statements.push(statement.trim());
            text = rest;
        }
        statements
    }

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_is_part_of_something() {
        assert_eq!(split("a; b ;;; c"), ["a;", "b ;", "c"]);
        assert_eq!(
            split("x ';' \";\" `;` [;] -- ; \n y /* ; */ z; w"),
            ["x ';' \";\" `;` [;] -- ; \n y /* ; */ z;", "w"]
        );
        assert_eq!(split("select 'it''s;'; -- end"), ["select 'it''s;';"]);
        assert_eq!(split(" -- nothing\n ; /* here */ "), [""; 0]);
    }

    #[test]
    fn a_trigger_holds_statements_of_its_own() {
        let trigger = "create temp trigger t after insert on x begin update y set a = case b when 1 then 2 end; delete from z; end;";
        let text = format!("{trigger} select 1;");
        assert_eq!(split(&text), [trigger, "select 1;"]);
        assert_eq!(
            split("create table trigger_like (a); select 2"),
            ["create table trigger_like (a);", "select 2"]
        );
    }

    #[test]
    fn a_statement_that_may_go_on_is_waited_for() {
        for open in [
            "",
            "select 1",
            "select ';",
            "-",
            "-- ; ",
            "create trigger t begin select 1; en",
            "create trigger t begin select 1; end",
        ] {
            assert_eq!(next_statement(open, false), None, "{open}");
        }
        assert_eq!(next_statement("select 1; se", false), Some(Piece::Statement("select 1;", " se")));
    }
}
