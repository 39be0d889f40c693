//! Tables without borders: aligned columns, colours, and the less important columns left out where it is narrow.
//!
//! A layout of our own, because colours and leaving out columns are what it is about: `comfy-table` knows colours
//! only together with a terminal library, and does not leave out columns.

use owo_colors::{OwoColorize as _, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::format;

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// What stands at its head.
    pub(crate) title: &'static str,
    /// Where its text stands.
    pub(crate) alignment: Alignment,
    /// Which columns are left out first where it is narrow: the greatest number. 0 always stays.
    pub(crate) dispensable: u8,
    /// How far its texts may be cut before it is left out; `None` keeps them whole.
    pub(crate) least: Option<usize>,
}

impl Column {
    /// Makes a column of words.
    #[must_use]
    pub(crate) const fn words(title: &'static str, dispensable: u8) -> Self {
        Self { title, alignment: Alignment::Left, dispensable, least: None }
    }

    /// Makes a column of numbers.
    #[must_use]
    pub(crate) const fn numbers(title: &'static str, dispensable: u8) -> Self {
        Self { title, alignment: Alignment::Right, dispensable, least: None }
    }
}

impl Column {
    /// Lets the texts of the column be cut to `width` where it is narrow.
    #[must_use]
    pub(crate) const fn cut_to(mut self, width: usize) -> Self {
        self.least = Some(width);
        self
    }
}

/// One text of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Makes a plain text; an empty one is shown as `-`.
    #[must_use]
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let text = if text.is_empty() { "-".to_owned() } else { format::printable(&text) };
        Self { text, style: Style::new() }
    }

    /// Makes a text of what may be missing.
    #[must_use]
    pub(crate) fn optional(value: Option<impl ToString>) -> Self {
        Self::new(value.map(|value| value.to_string()).unwrap_or_default())
    }

    fn cut(mut self, width: usize) -> Self {
        if self.text.width() > width {
            let mut short = String::new();
            for character in self.text.chars() {
                if short.width() + character.width().unwrap_or(0) >= width {
                    break;
                }
                short.push(character);
            }
            short.push('…');
            self.text = short;
        }
        self
    }

    /// Gives the text a colour.
    #[must_use]
    pub(crate) fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

const GAP: usize = 2;

/// Lays out a table. Lines end without blanks, and the text ends with a line break.
#[must_use]
pub(crate) fn render(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> String {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.width());
            cells.chain([column.title.width()]).max().unwrap_or(0)
        })
        .collect();
    let shown = fit(columns, &mut widths, width);
    let mut text = line(&shown, columns, &widths, |index| Cell::new(columns[index].title).styled(Style::new().bold()));
    for row in rows {
        text.push_str(&line(&shown, columns, &widths, |index| row.get(index).cloned().unwrap_or_else(|| Cell::new(""))));
    }
    text
}

/// Chooses the columns that are shown: cuts texts where that is enough, and else leaves out the least important column.
fn fit(columns: &[Column], widths: &mut [usize], width: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let Some(width) = width else { return shown };
    loop {
        let needed: usize = shown.iter().map(|index| widths[*index] + GAP).sum::<usize>().saturating_sub(GAP);
        let Some(surplus) = needed.checked_sub(width).filter(|surplus| *surplus > 0) else { return shown };
        let elastic = shown.iter().find(|index| columns[**index].least.is_some_and(|least| widths[**index] >= least + surplus));
        if let Some(index) = elastic {
            widths[*index] -= surplus;
            return shown;
        }
        let candidate = shown.iter().enumerate().max_by_key(|(_, index)| columns[**index].dispensable);
        match candidate {
            Some((place, index)) if columns[*index].dispensable > 0 => {
                shown.remove(place);
            }
            _ => return shown,
        }
    }
}

fn line(shown: &[usize], columns: &[Column], widths: &[usize], cell_of: impl Fn(usize) -> Cell) -> String {
    let mut text = String::new();
    let mut owed = 0;
    for index in shown {
        let cell = cell_of(*index).cut(widths[*index]);
        let padding = widths[*index].saturating_sub(cell.text.width());
        let (before, after) = match columns[*index].alignment {
            Alignment::Left => (0, padding),
            Alignment::Right => (padding, 0),
        };
        text.push_str(&" ".repeat(owed + before));
        text.push_str(&cell.text.style(cell.style).to_string());
        owed = after + GAP;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::words("NAME", 0), Column::numbers("PID", 1), Column::words("MODEL", 2)];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::new("qwen").styled(Style::new().green()), Cell::optional(Some(7)), Cell::new("模型")],
            vec![Cell::new("longer-name"), Cell::optional(None::<u32>), Cell::new("demo\x1b[2J")],
        ]
    }

    fn plain(width: Option<usize>) -> String {
        anstream::adapter::strip_str(&render(&COLUMNS, &rows(), width)).to_string()
    }

    #[test]
    fn words_stand_left_and_numbers_right_and_nothing_steers_the_terminal() {
        insta::assert_snapshot!(plain(None), @r"
        NAME         PID  MODEL
        qwen           7  模型
        longer-name    -  demo\u{1b}[2J
        ");
    }

    #[test]
    fn a_text_is_cut_before_a_column_is_left_out() {
        let columns = [COLUMNS[0], COLUMNS[1], COLUMNS[2].cut_to(4)];
        let plain = |width| anstream::adapter::strip_str(&render(&columns, &rows(), Some(width))).to_string();
        insta::assert_snapshot!(plain(26), @r"
        NAME         PID  MODEL
        qwen           7  模型
        longer-name    -  demo\u{…
        ");
        insta::assert_snapshot!(plain(21), @r"
        NAME         PID
        qwen           7
        longer-name    -
        ");
    }

    #[test]
    fn the_least_important_columns_go_first_and_the_first_stays() {
        insta::assert_snapshot!(plain(Some(20)), @r"
        NAME         PID
        qwen           7
        longer-name    -
        ");
        insta::assert_snapshot!(plain(Some(5)), @r"
        NAME
        qwen
        longer-name
        ");
    }
}
