//! Takes out of scripts, styles and tables what only their authors read: comments, indentation and space at signs.

/// What the reader of a script is in the middle of.
enum Within {
    /// Code; how many braces are open.
    Code(u32),
    /// A template, of which code in `${}` is no part.
    Template,
}

/// A script without comments, indentation, empty lines and space at signs.
///
/// Lines stay lines, so that no semicolon has to be put in, and an import stays as it was written. In a template
/// only the indentation goes: `htm` makes nothing of it.
pub(crate) fn script(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut within = vec![Within::Code(0)];
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let taken = match within.last_mut() {
            Some(Within::Template) => template(rest, next, &mut within),
            Some(Within::Code(open)) => {
                let comment = comment(rest);
                if comment > 0 {
                    rest = &rest[comment..];
                    continue;
                }
                if is_idle(&out, rest) {
                    rest = &rest[1..];
                    continue;
                }
                match next {
                    '"' | '\'' => quoted(rest, next),
                    '/' if is_expression_next(&out) => pattern(rest),
                    '{' => {
                        *open += 1;
                        1
                    }
                    '}' if *open > 0 => {
                        *open -= 1;
                        1
                    }
                    '}' => {
                        within.pop();
                        1
                    }
                    '`' => {
                        within.push(Within::Template);
                        1
                    }
                    _ => next.len_utf8(),
                }
            }
            None => next.len_utf8(),
        };
        push(&mut out, &rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// The length of what follows in a template.
fn template(rest: &str, next: char, within: &mut Vec<Within>) -> usize {
    if next == '\\' {
        let escaped = rest[1..].chars().next();
        return 1 + escaped.map_or(0, char::len_utf8);
    }
    if rest.starts_with("${") {
        within.push(Within::Code(0));
        return 2;
    }
    if next == '`' {
        within.pop();
    }
    next.len_utf8()
}

/// Adds text; space at the ends of lines and empty lines are left out.
fn push(out: &mut String, text: &str) {
    let is_blank = text.len() == 1 && text.starts_with([' ', '\t']);
    if text == "\n" {
        let end = out.trim_end_matches([' ', '\t']).len();
        out.truncate(end);
    }
    if (text == "\n" || is_blank) && (out.is_empty() || out.ends_with('\n')) {
        return;
    }
    out.push_str(text);
}

/// Whether a space follows that only the eye needs: one beside a sign.
fn is_idle(before: &str, rest: &str) -> bool {
    let Some(after) = rest.strip_prefix(' ') else {
        return false;
    };
    // What joins modules reads these once more.
    let line = before.rsplit('\n').next().unwrap_or_default();
    if line == "import" || line.starts_with("import ") {
        return false;
    }
    // Without a slash: two of them, or one and a star, would begin a comment.
    let is_sign = |one: char| "(){}[]<>=!?:;,&|+-*%`\"".contains(one);
    match (before.chars().next_back(), after.chars().next()) {
        (Some('+'), Some('+')) | (Some('-'), Some('-')) => false,
        (before, after) => before.is_some_and(is_sign) || after.is_some_and(is_sign),
    }
}

/// The length of a comment that begins here; the end of its line is no part of it.
fn comment(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    0
}

/// The length of a text in quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, one) in rest.char_indices().skip(1) {
        match one {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if one == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a regular expression, without its flags.
fn pattern(rest: &str) -> usize {
    let (mut is_escaped, mut in_class) = (false, false);
    for (at, one) in rest.char_indices().skip(1) {
        match one {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether a slash that comes now begins a regular expression and does not divide.
fn is_expression_next(before: &str) -> bool {
    let before = before.trim_end();
    let word = before
        .rsplit(|one: char| !one.is_ascii_alphanumeric())
        .next();
    if ["return", "typeof", "case", "in", "of"].contains(&word.unwrap_or_default()) {
        return true;
    }
    before
        .chars()
        .next_back()
        .is_none_or(|last| "(,=:[!&|?{};+-*%<>~^".contains(last))
}

/// Styles without comments and the space between and within declarations.
pub(crate) fn style(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let comment = if next == '/' { comment(rest) } else { 0 };
        if comment > 0 {
            rest = &rest[comment..];
            continue;
        }
        let taken = match next {
            '"' | '\'' => quoted(rest, next),
            _ => next.len_utf8(),
        };
        match next {
            _ if !next.is_whitespace() => {
                if "{}".contains(next) {
                    out.truncate(out.trim_end().len());
                }
                if next == '}' {
                    out.truncate(out.trim_end_matches(';').len());
                }
                out.push_str(&rest[..taken]);
            }
            _ if out.is_empty() || out.ends_with(['{', '}', ';', ',', ':', ' ', '\n']) => {}
            _ => out.push(' '),
        }
        rest = &rest[taken..];
    }
    out
}

/// A table of sentences without the space between them.
pub(crate) fn table(source: &str) -> String {
    let lines = source.lines().map(str::trim);
    let lines = lines.map(|line| line.replacen("\": ", "\":", 1));
    lines.collect()
}
