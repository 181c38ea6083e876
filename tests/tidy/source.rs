//! Reads Rust sources just far enough to tell code from comments, texts and tests.

/// Replaces comments and the contents of texts by spaces; lines stay where they are.
pub(crate) fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let end = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => quoted(rest),
            ['r', '"' | '#', ..]
                if !at
                    .checked_sub(1)
                    .is_some_and(|before| chars[before].is_alphanumeric()) =>
            {
                raw(rest)
            }
            ['\'', '\\', ..] => 2 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0) + 2,
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if end == 0 {
            out.push(chars[at]);
            at += 1;
        } else {
            let gone = &rest[..end.min(rest.len())];
            out.extend(gone.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at += gone.len();
        }
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    for at in 0..rest.len() {
        match rest[at..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

// 0 for a raw identifier such as r#type.
fn raw(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let inside = &rest[2 + hashes..];
    let end = inside
        .windows(close.len())
        .position(|window| window == close.as_slice());
    2 + hashes + end.map_or(inside.len(), |end| end + close.len())
}

/// Takes out every item under `#[cfg(test)]`.
pub(crate) fn without_tests(code: &str) -> String {
    let mut left = String::new();
    let mut rest = code;
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        left.push_str(before);
        let end = item
            .find(['{', ';'])
            .map_or(item.len(), |open| match item.as_bytes()[open] {
                b'{' => closing(item, open),
                _ => open + 1,
            });
        left.push_str(&"\n".repeat(item[..end].matches('\n').count()));
        rest = &item[end..];
    }
    left + rest
}

fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The identifiers and numbers of a text, in order.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The names and the number of lines of the functions of a file.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0
            || !code.as_bytes()[at - 1].is_ascii_alphanumeric() && code.as_bytes()[at - 1] != b'_';
        let Some(name) = words(&code[at + 3..]).next().filter(|_| starts_word) else {
            continue;
        };
        let body = code[at..].find(['{', ';']).map(|open| at + open);
        if let Some(open) = body.filter(|open| code.as_bytes()[*open] == b'{') {
            let lines = code[at..closing(code, open)].lines().count();
            found.push((name.to_owned(), lines));
        }
    }
    found
}

#[test]
fn the_reader_of_sources_sees_code_only() {
    let source = "let a = \"fn x() { \\\" todo!()\"; // unwrap()\nlet b = r#\"}\"#; /* { /* } */ */ let c = '{'; let d: &'a str;\n\
                  fn long<'a>() {\n\n}\n#[cfg(test)]\nmod tests { fn hidden() { x.unwrap() } }\nfn last() {}\n";
    let code = blank(source);
    assert_eq!(code.lines().count(), source.lines().count());
    assert!(
        !code.contains("todo!") && !code.contains("unwrap()\n") && code.contains("&'a str"),
        "{code}"
    );
    assert_eq!(
        functions(&code),
        [("long".into(), 3), ("hidden".into(), 1), ("last".into(), 1)]
    );
    let code = without_tests(&code);
    assert!(
        !code.contains("unwrap") && code.contains("fn last"),
        "{code}"
    );
    assert_eq!(
        blank("'\\'' x '\\u{1b}' y '\\\\' z")
            .split_whitespace()
            .collect::<String>(),
        "xyz"
    );
}
