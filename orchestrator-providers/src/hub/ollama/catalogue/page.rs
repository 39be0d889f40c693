//! Reads the page that lists the library. Pure; believes nothing but links.

use std::collections::HashSet;

use super::super::name::LibraryName;
use super::CatalogueEntry;

/// What the link of a model begins with.
const LINK: &str = "href=\"/library/";
/// The most models that are read.
const MOST: usize = 5_000;
/// The most that is looked at behind a link, in bytes.
const LONGEST_CARD: usize = 16 * 1024;
/// The longest description, in characters.
const LONGEST_TEXT: usize = 400;
/// The most marks of one kind that a model has.
const MOST_MARKS: usize = 16;

/// Reads the models of the page, in their order.
pub(in super::super) fn read(page: &str) -> Vec<CatalogueEntry> {
    let mut known = HashSet::new();
    let mut models = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find(LINK) {
        rest = &rest[at + LINK.len()..];
        let card = &rest[..rest.find(LINK).unwrap_or(rest.len())];
        let Some((name, inside)) = card.split_once('"') else { continue };
        if LibraryName::from_parts("library", name, "latest").is_none() || models.len() == MOST || !known.insert(name) {
            continue;
        }
        models.push(read_card(name, up_to(inside, LONGEST_CARD)));
    }
    models
}

fn read_card(name: &str, card: &str) -> CatalogueEntry {
    CatalogueEntry {
        name: name.to_owned(),
        description: first_text(card, "<p").unwrap_or_default(),
        pulls: first_text(card, "x-test-pull-count").as_deref().and_then(count),
        sizes: texts(card, "x-test-size").filter(|size| is_word(size)).take(MOST_MARKS).collect(),
        abilities: texts(card, "x-test-capability").filter(|word| is_word(word)).take(MOST_MARKS).collect(),
    }
}

/// Returns the text behind each element that bears a mark.
fn texts<'a>(card: &'a str, mark: &'a str) -> impl Iterator<Item = String> + 'a {
    card.match_indices(mark).filter_map(move |(at, _)| {
        let (_, after) = card[at..].split_once('>')?;
        let (text, _) = after.split_once('<')?;
        Some(plain(text))
    })
}

fn first_text(card: &str, mark: &str) -> Option<String> {
    texts(card, mark).find(|text| !text.is_empty())
}

/// Turns the text of a page into text: one line, the usual entities read, nothing that a terminal would take for an order.
fn plain(text: &str) -> String {
    let mut plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // The last one, so that `&amp;lt;` stays what it says.
    for (entity, letter) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
    {
        plain = plain.replace(entity, letter);
    }
    plain.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Reads `11.3M`, `800K`, `1,234` or `57`.
fn count(text: &str) -> Option<u64> {
    let text = text.replace(',', "");
    let (digits, unit) = match text.char_indices().find(|(_, c)| c.is_ascii_alphabetic()) {
        Some((at, _)) => text.split_at(at),
        None => (text.as_str(), ""),
    };
    let unit: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "B" => 1_000_000_000,
        _ => return None,
    };
    // In whole tenths and hundredths: a sum of money is not counted in halves of a bit.
    let (whole, part) = digits.trim().split_once('.').unwrap_or((digits.trim(), ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(unit)?.checked_add(thousandths.checked_mul(unit)? / 1_000)
}

/// Cuts a text at a length, between two letters.
fn up_to(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
