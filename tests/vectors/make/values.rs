//! The encoding itself.

use std::fmt::Debug;

use heirloom_protocol::{op::Role, wire};
use serde::Serialize;

use super::{cut, longer};
use crate::case::{Case, Class};

fn case<T: Serialize + Debug>(name: &str, kind: &str, value: T, why: &str) -> Vec<Case> {
    let bytes = wire::encode(&value);
    let right = Case::right(&format!("wire/{name}"), "value", why, &bytes)
        .text("type", kind)
        .text("value", &format!("{value:?}"));
    vec![
        right
            .wrong("cut", Class::Truncated, "the last byte is missing")
            .with(cut(&bytes)),
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows the value")
            .with(longer(&bytes)),
        right
            .wrong(
                "over-limit",
                Class::TooLarge,
                "the bytes are more than the reader allows",
            )
            .text("limit", &(bytes.len() - 1).to_string()),
        right,
    ]
}

fn wrong(name: &str, suffix: &str, kind: &str, bytes: &[u8], why: &str) -> Case {
    let right = Case::right(&format!("wire/{name}"), "value", "", bytes);
    let wrong = right.wrong(suffix, Class::NotCanonical, why);
    wrong.text("type", kind).text("value", "none")
}

pub(super) fn all() -> Vec<Case> {
    let all = [
        case("u8", "u8", 255_u8, "a byte is itself"),
        case(
            "u16-250",
            "u16",
            250_u16,
            "250 is the last number of one byte",
        ),
        case(
            "u16-251",
            "u16",
            251_u16,
            "251 is the first number of three bytes",
        ),
        case(
            "u16-max",
            "u16",
            u16::MAX,
            "the largest number of three bytes",
        ),
        case(
            "u32-65536",
            "u32",
            65_536_u32,
            "the first number of five bytes",
        ),
        case(
            "u32-max",
            "u32",
            u32::MAX,
            "the largest number of five bytes",
        ),
        case(
            "u64-7",
            "u64",
            7_u64,
            "a small number is one byte whatever its type",
        ),
        case(
            "u64-2-32",
            "u64",
            1_u64 << 32,
            "the first number of nine bytes",
        ),
        case("u64-max", "u64", u64::MAX, "the largest number"),
        case("i16-minus-1", "i16", -1_i16, "minus one is the number 1"),
        case(
            "i16-min",
            "i16",
            i16::MIN,
            "the smallest number of two bytes is 65535",
        ),
        case("i32-63", "i32", 63_i32, "63 is the number 126"),
        case(
            "i32-min",
            "i32",
            i32::MIN,
            "the smallest number of four bytes",
        ),
        case("i64-max", "i64", i64::MAX, "the largest number with a sign"),
        case("bool", "bool", true, "true is 1"),
        case("text", "text", "hello", "a length in bytes, then UTF-8"),
        case(
            "list",
            "list u32",
            vec![1_u32, 300, 70_000],
            "a count, then each element",
        ),
        case("option", "option u16", Some(5_u16), "1, then the value"),
        case(
            "alternative",
            "role",
            Role::Admin,
            "the place in the list of alternatives",
        ),
    ];
    let mut all = all.concat();
    all.extend([
        wrong(
            "u16-250",
            "three-bytes",
            "u16",
            &[251, 250, 0],
            "250 in three bytes",
        ),
        wrong(
            "u32-65536",
            "from-u16",
            "u32",
            &[252, 1, 0, 0, 0],
            "1 in five bytes",
        ),
        wrong(
            "u64-7",
            "nine-bytes",
            "u64",
            &[253, 7, 0, 0, 0, 0, 0, 0, 0],
            "7 in nine bytes",
        ),
        wrong("u64-7", "fe", "u64", &[254; 17], "no number begins with fe"),
        wrong("u64-7", "ff", "u64", &[255; 17], "no number begins with ff"),
        wrong(
            "u16-max",
            "five-bytes",
            "u16",
            &[252, 0, 0, 1, 0],
            "a number of 16 bits is never so large",
        ),
        wrong("bool", "two", "bool", &[2], "a bool is 0 or 1"),
        wrong(
            "option",
            "two",
            "option u16",
            &[2, 5],
            "an option begins with 0 or 1",
        ),
        wrong(
            "alternative",
            "fourth",
            "role",
            &[3],
            "there are three roles",
        ),
        wrong(
            "text",
            "not-utf-8",
            "text",
            &[1, 0xe9],
            "the bytes are not UTF-8",
        ),
        wrong(
            "text",
            "length",
            "text",
            &[251, 3, 0, b'c', b'a', b'f'],
            "the length in three bytes",
        ),
    ]);
    all
}
