//! How a transfer looks: rows of text made of an update and a width. Pure; whoever draws them is elsewhere.

use orchestrator_core::operation::{FilePhase, FileProgress, ProgressUpdate};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::format;

/// How many files are shown at once. The others are counted.
const FILES_SHOWN: usize = 8;
/// A bar that is shorter says nothing.
const SHORTEST_BAR: usize = 8;
/// A bar that is longer says no more.
const LONGEST_BAR: usize = 30;
/// What stands in front of a row.
const INDENT: &str = "  ";
/// Between two columns.
const GAP: usize = 2;

/// What is shown of one file, or of all together.
struct Entry {
    label: String,
    done: u64,
    total: Option<u64>,
    phase: FilePhase,
    rate: Option<u64>,
    eta_seconds: Option<u64>,
}

/// Which columns there is room for, and how wide they are.
#[derive(Clone, Copy)]
struct Layout {
    label: usize,
    bar: Option<usize>,
    size: usize,
    whole_size: bool,
    rate: usize,
    eta: usize,
}

/// Lays a transfer out: a row for each file, as far as they are few, and one for all together where there are several.
/// No row is wider than `width`, as long as that is not absurdly small.
#[must_use]
pub(crate) fn rows(update: &ProgressUpdate, width: usize) -> Vec<String> {
    let (shown, remark) = choose(&update.files);
    let mut entries: Vec<Entry> = shown.into_iter().map(entry_of_file).collect();
    if let ([entry], true) = (entries.as_mut_slice(), update.files.len() == 1) {
        entry.rate = update.rate;
        entry.eta_seconds = update.eta_seconds;
    } else {
        entries.push(entry_of_all(update));
    }
    let layout = lay_out(&entries, width);
    let mut rows: Vec<String> = entries.iter().map(|entry| row(entry, layout)).collect();
    if let Some(remark) = remark {
        rows.insert(rows.len() - 1, format!("{INDENT}{remark}"));
    }
    rows
}

/// Says how far a transfer is in one line, for those who see no bars.
#[must_use]
pub(crate) fn sentence(update: &ProgressUpdate) -> String {
    let mut parts = Vec::new();
    parts.extend(super::fraction(update.done, update.total).filter(|_| update.total.is_some()));
    match (update.done, update.total) {
        (Some(done), Some(total)) => parts.push(format!("{} of {}", format::bytes(done), format::bytes(total))),
        (Some(done), None) => parts.push(format::bytes(done)),
        (None, _) => {}
    }
    parts.extend(update.rate.map(speed));
    parts.extend(update.eta_seconds.map(|seconds| format!("{} left", format::uptime(seconds))));
    let phase = format::printable(&update.phase);
    if parts.is_empty() { phase } else { format!("{phase}: {}", parts.join(", ")) }
}

/// Chooses the files that are shown, in their order, and counts the others.
fn choose(files: &[FileProgress]) -> (Vec<&FileProgress>, Option<String>) {
    if files.len() <= FILES_SHOWN {
        return (files.iter().collect(), None);
    }
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|index| match files[*index].phase {
        FilePhase::Fetching => 0,
        FilePhase::Verifying => 1,
        FilePhase::Waiting => 2,
        FilePhase::Done => 3,
    });
    let hidden = order.split_off(FILES_SHOWN - 1);
    order.sort_unstable();
    let count = |phase| hidden.iter().filter(|index| files[**index].phase == phase).count();
    let (waiting, done) = (count(FilePhase::Waiting), count(FilePhase::Done));
    let remark = format!("… {} more files: {waiting} waiting, {done} done", hidden.len());
    (order.into_iter().map(|index| &files[index]).collect(), Some(remark))
}

fn entry_of_file(file: &FileProgress) -> Entry {
    let label = format::printable(&file.name);
    Entry { label, done: file.done, total: file.total, phase: file.phase, rate: None, eta_seconds: None }
}

fn entry_of_all(update: &ProgressUpdate) -> Entry {
    Entry {
        label: "total".to_owned(),
        done: update.done.unwrap_or(0),
        total: update.total,
        phase: FilePhase::Fetching,
        rate: update.rate,
        eta_seconds: update.eta_seconds,
    }
}

fn lay_out(entries: &[Entry], width: usize) -> Layout {
    let widest = |text: &dyn Fn(&Entry) -> String| entries.iter().map(|entry| text(entry).width()).max().unwrap_or(0);
    let whole = Layout {
        label: widest(&|entry| entry.label.clone()).min((width / 3).max(SHORTEST_BAR)),
        bar: None,
        size: widest(&|entry| size(entry, true)),
        whole_size: true,
        rate: widest(&|entry| entry.rate.map(speed).unwrap_or_default()),
        eta: widest(&|entry| entry.eta_seconds.map(format::uptime).unwrap_or_default()),
    };
    let short = Layout { size: widest(&|entry| size(entry, false)), whole_size: false, ..whole };
    let needed = |layout: &Layout| {
        let optional = |column: usize| if column == 0 { 0 } else { GAP + column };
        INDENT.len() + layout.label + GAP + PERCENT + GAP + layout.size + optional(layout.rate) + optional(layout.eta)
    };
    let left = width.saturating_sub(needed(&whole));
    if left >= GAP + SHORTEST_BAR {
        return Layout { bar: Some((left - GAP).min(LONGEST_BAR)), ..whole };
    }
    let narrower = [whole, short, Layout { rate: 0, ..short }, Layout { rate: 0, eta: 0, ..short }];
    narrower.into_iter().find(|layout| needed(layout) <= width).unwrap_or(Layout { rate: 0, eta: 0, ..short })
}

/// The width of `100 %`.
const PERCENT: usize = 5;

fn row(entry: &Entry, layout: Layout) -> String {
    let mut text = format!("{INDENT}{}", pad_right(&tail(&entry.label, layout.label), layout.label));
    if let Some(bar_width) = layout.bar {
        text.push_str(&" ".repeat(GAP));
        text.push_str(&pad_right(&bar(entry, bar_width), bar_width));
    }
    let percent = super::fraction(Some(entry.done), entry.total).filter(|_| entry.total.is_some()).unwrap_or_default();
    let optional = |width: usize, value: Option<String>| (width, value.unwrap_or_default());
    let columns = [
        (PERCENT, percent),
        (layout.size, size(entry, layout.whole_size)),
        optional(layout.rate, entry.rate.map(speed)),
        optional(layout.eta, entry.eta_seconds.map(format::uptime)),
    ];
    for (width, value) in columns.into_iter().filter(|(width, _)| *width > 0) {
        text.push_str(&" ".repeat(GAP + width.saturating_sub(value.width())));
        text.push_str(&value);
    }
    text.trim_end().to_owned()
}

/// Draws how much is there; a file that is not being fetched says what happens to it.
fn bar(entry: &Entry, width: usize) -> String {
    match entry.phase {
        FilePhase::Waiting => return "waiting".to_owned(),
        FilePhase::Verifying => return "verifying".to_owned(),
        FilePhase::Fetching | FilePhase::Done => {}
    }
    let Some(total) = entry.total.filter(|total| *total > 0) else { return String::new() };
    let share = u128::from(entry.done.min(total)) * width as u128 / u128::from(total);
    let filled = usize::try_from(share).unwrap_or(width).min(width);
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

fn size(entry: &Entry, is_whole: bool) -> String {
    match entry.total {
        Some(total) if entry.phase == FilePhase::Done => format::bytes(total),
        Some(total) if is_whole => part_of(&format::bytes(entry.done), &format::bytes(total)),
        Some(_) | None => format::bytes(entry.done),
    }
}

/// Writes two sizes as one: `2.0/3.3 GB`, or `512 MB/3.3 GB`.
fn part_of(done: &str, total: &str) -> String {
    match (done.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}/{total}"),
        _ => format!("{done}/{total}"),
    }
}

fn speed(rate: u64) -> String {
    format!("{}/s", format::bytes(rate))
}

/// Keeps the end of a name, where files of one model differ.
fn tail(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = Vec::new();
    let mut used = 1;
    for character in text.chars().rev() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(character);
    }
    std::iter::once('…').chain(kept.into_iter().rev()).collect()
}

fn pad_right(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use orchestrator_core::operation::ProgressUnit;

    use super::*;

    const GB: u64 = 1 << 30;

    fn file(name: &str, done: u64, total: Option<u64>, phase: FilePhase) -> FileProgress {
        FileProgress { name: name.to_owned(), done, total, phase }
    }

    fn update(files: Vec<FileProgress>) -> ProgressUpdate {
        ProgressUpdate {
            phase: "fetching".to_owned(),
            done: Some(files.iter().map(|file| file.done).sum()),
            total: files.iter().map(|file| file.total).sum(),
            unit: ProgressUnit::Bytes,
            rate: Some(89_338_675),
            eta_seconds: Some(92),
            files,
        }
    }

    fn several() -> ProgressUpdate {
        update(vec![
            file("Big-Model-Q4_K_M-00001-of-00003.gguf", 2 * GB, Some(3 * GB + GB / 3), FilePhase::Fetching),
            file("Big-Model-Q4_K_M-00002-of-00003.gguf", 3 * GB, Some(3 * GB), FilePhase::Verifying),
            file("Big-Model-Q4_K_M-00003-of-00003.gguf", 0, Some(3 * GB), FilePhase::Waiting),
            file("mmproj-F16.gguf", GB / 2, Some(GB / 2), FilePhase::Done),
        ])
    }

    fn drawn(update: &ProgressUpdate, width: usize) -> String {
        let rows = rows(update, width);
        for row in &rows {
            assert!(row.width() <= width, "{} columns of {width}: {row}", row.width());
        }
        rows.join("\n")
    }

    #[test]
    fn several_files_have_a_row_each_and_one_for_all() {
        insta::assert_snapshot!("several_at_110", drawn(&several(), 110));
        insta::assert_snapshot!("several_at_80", drawn(&several(), 80));
        insta::assert_snapshot!("several_at_60", drawn(&several(), 60));
        insta::assert_snapshot!("several_at_40", drawn(&several(), 40));
    }

    #[test]
    fn a_single_file_has_the_speed_in_its_own_row() {
        let single = update(vec![file("model.gguf", GB, Some(4 * GB), FilePhase::Fetching)]);
        insta::assert_snapshot!("single", drawn(&single, 80));
    }

    #[test]
    fn many_files_are_counted() {
        let files = (0..40u64).map(|number| {
            let phase = match number {
                0..10 => FilePhase::Done,
                10..13 => FilePhase::Fetching,
                _ => FilePhase::Waiting,
            };
            file(&format!("model-{number:05}.safetensors"), number, Some(100), phase)
        });
        insta::assert_snapshot!("many", drawn(&update(files.collect()), 80));
    }

    #[test]
    fn a_length_that_is_not_known_is_no_percentage() {
        let unknown = update(vec![file("a", 7, None, FilePhase::Fetching)]);
        let unknown = ProgressUpdate { total: None, rate: None, eta_seconds: None, ..unknown };
        assert_eq!(rows(&unknown, 80).join("\n").split_whitespace().collect::<Vec<_>>(), ["a", "7", "B"]);
        assert_eq!(sentence(&unknown), "fetching: 7 B");
        // Nothing is left of a row but its parts, and nothing breaks.
        assert!(!rows(&several(), 1).is_empty() && !rows(&ProgressUpdate::default(), 60).is_empty());
    }

    #[test]
    fn a_line_says_what_the_bars_would() {
        assert_eq!(sentence(&several()), "fetching: 55 %, 5.5 GB of 9.8 GB, 85.2 MB/s, 1m 32s left");
        assert_eq!(sentence(&ProgressUpdate { phase: "asking\x1b[2J".to_owned(), ..ProgressUpdate::default() }), "asking\\u{1b}[2J");
    }

    #[test]
    fn names_of_others_do_not_steer_the_terminal_and_keep_their_end() {
        let rows = rows(&update(vec![file("a\x1b[2J/模型-00001.gguf", 1, Some(2), FilePhase::Fetching)]), 40);
        assert!(rows.iter().all(|row| !row.contains('\x1b')), "{rows:?}");
        assert!(rows[0].contains("00001.gguf"), "{rows:?}");
    }
}
