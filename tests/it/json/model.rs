//! A model of JSON values that keeps what JSON text can say, and writes each value in many ways.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::collection::vec;
use proptest::prelude::*;

/// A JSON value; strings are UTF-16, since escapes can say lone surrogates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Literal(&'static str),
    Number(Decimal),
    Text(Vec<u16>),
    Array(Vec<Value>),
    Object(Vec<(Vec<u16>, Value)>),
}

/// A number; `digits` has no zero at either end, and is empty for zero, which has no sign and no power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    pub(crate) digits: String,
    pub(crate) power: i64,
}

impl Value {
    /// Equal for two values if and only if they are the same: different keys in one order, equal keys as they came.
    pub(crate) fn normal(&self) -> Self {
        match self {
            Self::Array(elements) => Self::Array(elements.iter().map(Self::normal).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| (key.clone(), value.normal()))
                    .collect();
                members.sort_by(|one, other| one.0.cmp(&other.0));
                Self::Object(members)
            }
            scalar => scalar.clone(),
        }
    }

    /// The value at a path of keys, where the last of equal keys counts.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        let Self::Object(members) = self else { return None };
        let first: Vec<u16> = first.encode_utf16().collect();
        members.iter().rfind(|(key, _)| *key == first)?.1.at(rest)
    }

    /// Drops what Python would not give back: all but the first of equal keys, fractions and powers.
    pub(crate) fn without_what_python_drops(self) -> Self {
        match self {
            Self::Number(decimal) => Self::Number(Decimal {
                power: decimal.power.clamp(0, 40),
                ..decimal
            }),
            Self::Array(elements) => Self::Array(elements.into_iter().map(Self::without_what_python_drops).collect()),
            Self::Object(mut members) => {
                let mut seen = HashSet::new();
                members.retain(|(key, _)| seen.insert(key.clone()));
                Self::Object(
                    members
                        .into_iter()
                        .map(|(key, value)| (key, value.without_what_python_drops()))
                        .collect(),
                )
            }
            scalar => scalar,
        }
    }

    /// Changes one thing somewhere, which may leave the value the same.
    pub(crate) fn change(&mut self, choices: &mut Choices) {
        match self {
            Self::Array(elements) if !elements.is_empty() => {
                let index = choices.below(elements.len());
                match choices.below(6) {
                    0 => elements.reverse(),
                    1 => drop(elements.remove(index)),
                    2 => elements.push(elements[index].clone()),
                    3 => elements[index] = Self::Array(vec![elements[index].clone()]),
                    _ => elements[index].change(choices),
                }
            }
            Self::Object(members) if !members.is_empty() => {
                let index = choices.below(members.len());
                match choices.below(6) {
                    0 => members.reverse(),
                    1 => drop(members.remove(index)),
                    2 => members.push(members[index].clone()),
                    3 => members[index].0 = "b".encode_utf16().collect(),
                    _ => members[index].1.change(choices),
                }
            }
            Self::Array(_) => *self = Self::Object(Vec::new()),
            Self::Text(units) if choices.below(2) == 0 => units.push(u16::from(b'\\')),
            Self::Number(decimal) if choices.below(2) == 0 && !decimal.digits.is_empty() => decimal.power += 1,
            Self::Number(decimal) => {
                *self = Self::Text(format!("{}e{}", decimal.digits, decimal.power).encode_utf16().collect())
            }
            scalar => *scalar = Self::Literal("null"),
        }
    }
}

/// A stream of choices that a seed decides (SplitMix64).
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// One way to write a value, and the form that it must get.
#[derive(Debug, Default)]
pub(crate) struct Spelling {
    pub(crate) text: String,
    pub(crate) form: String,
}

/// Writes a value in a way that the choices decide.
pub(crate) fn spell(value: &Value, choices: &mut Choices) -> Spelling {
    let mut spelling = Spelling::default();
    space(&mut spelling, choices);
    spell_value(value, &mut spelling, choices);
    space(&mut spelling, choices);
    spelling
}

fn spell_value(value: &Value, out: &mut Spelling, choices: &mut Choices) {
    match value {
        Value::Literal(word) => same(out, word),
        Value::Number(decimal) => same(out, &spell_number(decimal, choices)),
        Value::Text(units) => spell_text(units, out, choices),
        Value::Array(elements) => {
            same(out, "[");
            space(out, choices);
            for (index, element) in elements.iter().enumerate() {
                separate(index, out, choices);
                spell_value(element, out, choices);
                space(out, choices);
            }
            same(out, "]");
        }
        Value::Object(members) => {
            same(out, "{");
            space(out, choices);
            for (index, (key, member)) in shuffled(members, choices).into_iter().enumerate() {
                separate(index, out, choices);
                spell_text(key, out, choices);
                space(out, choices);
                out.text.push(':');
                out.form.push_str(": ");
                space(out, choices);
                spell_value(member, out, choices);
                space(out, choices);
            }
            same(out, "}");
        }
    }
}

fn same(out: &mut Spelling, text: &str) {
    out.text.push_str(text);
    out.form.push_str(text);
}

fn separate(index: usize, out: &mut Spelling, choices: &mut Choices) {
    if index > 0 {
        out.text.push(',');
        out.form.push_str(", ");
        space(out, choices);
    }
}

fn space(out: &mut Spelling, choices: &mut Choices) {
    out.text.push_str(["", "", "", " ", "\n", "\t \r\n"][choices.below(6)]);
}

/// Any order of different keys; equal ones stay as they are.
fn shuffled<'a>(members: &'a [(Vec<u16>, Value)], choices: &mut Choices) -> Vec<&'a (Vec<u16>, Value)> {
    let salt = choices.next();
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(key, _)| {
        let mut hasher = DefaultHasher::new();
        (salt, key).hash(&mut hasher);
        hasher.finish()
    });
    members
}

fn spell_number(decimal: &Decimal, choices: &mut Choices) -> String {
    if decimal.digits.is_empty() {
        return ["0", "-0", "0.00", "-0.0E-7", "0e5", "0e99999999999999999999"][choices.below(6)].to_owned();
    }
    let sign = if decimal.negative { "-" } else { "" };
    let zeros = choices.below(4);
    let digits = format!("{}{}", decimal.digits, "0".repeat(zeros));
    let point = choices.below(digits.len() + 1);
    let (integer, fraction) = digits.split_at(point);
    let integer = if integer.is_empty() { "0" } else { integer };
    let fraction = if fraction.is_empty() {
        String::new()
    } else {
        format!(".{fraction}")
    };
    let exponent = decimal.power - zeros as i64 + (digits.len() - point) as i64;
    if exponent == 0 && choices.below(3) > 0 {
        return format!("{sign}{integer}{fraction}");
    }
    let e = ["e", "E"][choices.below(2)];
    let exponent_sign = if exponent < 0 { "-" } else { ["", "+"][choices.below(2)] };
    let leading = "0".repeat(choices.below(3));
    format!(
        "{sign}{integer}{fraction}{e}{exponent_sign}{leading}{}",
        exponent.unsigned_abs()
    )
}

/// Writes all numbers as integers, for a model without fractions.
pub(crate) fn integers_only(value: &Value) -> Value {
    match value {
        Value::Number(decimal) => {
            let sign = if decimal.negative { "-" } else { "" };
            let zeros = "0".repeat(decimal.power as usize);
            let digits = if decimal.digits.is_empty() {
                "0"
            } else {
                &decimal.digits
            };
            Value::Literal(format!("{sign}{digits}{zeros}").leak())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(integers_only).collect()),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone(), integers_only(value)))
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}

fn spell_text(units: &[u16], out: &mut Spelling, choices: &mut Choices) {
    same(out, "\"");
    for character in char::decode_utf16(units.iter().copied()) {
        match character {
            Ok(character) => {
                out.text.push_str(&spell_char(character, choices));
                out.form.push_str(&form_of_char(character));
            }
            Err(lone) => {
                out.text.push_str(&unicode_escape(lone.unpaired_surrogate(), choices));
                out.form.push_str(&format!("\\u{:04x}", lone.unpaired_surrogate()));
            }
        }
    }
    same(out, "\"");
}

fn spell_char(character: char, choices: &mut Choices) -> String {
    let short = match character {
        '"' | '\\' | '/' => Some(character),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        _ => None,
    };
    let may_stand = character >= ' ' && !matches!(character, '"' | '\\');
    match (choices.below(3), short) {
        (0 | 1, _) if may_stand => character.to_string(),
        (0 | 1, Some(short)) => format!("\\{short}"),
        _ => character
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| unicode_escape(*unit, choices))
            .collect(),
    }
}

fn unicode_escape(unit: u16, choices: &mut Choices) -> String {
    match choices.below(2) {
        0 => format!("\\u{unit:04x}"),
        _ => format!("\\u{unit:04X}"),
    }
}

fn form_of_char(character: char) -> String {
    match character {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{8}' => "\\b".into(),
        '\u{c}' => "\\f".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        ..' ' => format!("\\u{:04x}", u32::from(character)),
        _ => character.to_string(),
    }
}

/// Any value: odd strings, repeated keys, long and tiny numbers.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(Value::Literal),
        decimal().prop_map(Value::Number),
        text().prop_map(Value::Text),
    ];
    // More members than a small sort takes.
    let large = vec((text(), decimal().prop_map(Value::Number)), 20..40).prop_map(Value::Object);
    prop_oneof![20 => leaf, 1 => large].prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((key(), inner), 0..6).prop_map(Value::Object),
        ]
    })
}

fn decimal() -> impl Strategy<Value = Decimal> {
    let digits = prop_oneof![Just(String::new()), "[1-9]", "[1-9][0-9]{0,45}[1-9]"];
    let power = prop_oneof![Just(0), -12..12_i64, -1_000_000..1_000_000_i64];
    (any::<bool>(), digits, power).prop_map(|(negative, digits, power)| {
        if digits.is_empty() {
            Decimal {
                negative: false,
                digits,
                power: 0,
            }
        } else {
            Decimal {
                negative,
                digits,
                power,
            }
        }
    })
}

fn key() -> impl Strategy<Value = Vec<u16>> {
    let common = prop_oneof![Just("a"), Just("b"), Just(""), Just("\u{1}\"/😀")];
    prop_oneof![common.prop_map(|key| key.encode_utf16().collect()), text()]
}

fn text() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        4 => u16::from(b' ')..=u16::from(b'~'),
        1 => 0..=0x1f_u16,
        1 => proptest::sample::select(vec![b'"', b'\\', b'/', b'u', 0x7f]).prop_map(u16::from),
        1 => proptest::sample::select(vec![0x2028, 0x2029, 0x85, 0xfeff, 0xfffe, 0x416]),
        1 => 0xd800..=0xdfff_u16,
        1 => any::<u16>(),
    ];
    let emoji = Just("😀🔑".encode_utf16().collect());
    prop_oneof![8 => vec(unit, 0..20), 1 => emoji]
}
