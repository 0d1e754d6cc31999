//! Jobs in columns.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::jobs::job::Job;

/// Between two columns of a terminal.
const GAP: &str = "  ";

/// No column is made narrower than this; the last ones are left out instead.
const NARROWEST: usize = 12;

/// The columns of a terminal, the most important first; the link has a line of its own.
const HEAD: [&str; 6] = ["TITLE", "COMPANY", "PLACE", "KIND", "PAY", "POSTED"];

/// For people: as wide as `width` cells at most, and each job's link below it, whole, so that it can be opened.
#[must_use]
pub(super) fn for_terminal(jobs: &[Job], width: usize) -> String {
    let rows: Vec<_> = jobs.iter().map(cells).collect();
    let number = jobs.len().to_string().len();
    let available = width.saturating_sub(number + GAP.len());
    let widths = widths(&rows, available);
    let mut text = String::new();
    line(&mut text, "", number, &HEAD.map(str::to_owned), &widths);
    for (index, (row, job)) in rows.iter().zip(jobs).enumerate() {
        line(&mut text, &(index + 1).to_string(), number, row, &widths);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:number$}{GAP}{}", "", flat(&job.apply_link));
    }
    text
}

/// For programs: a line of names, then a line a job, columns separated by tabs, nothing cut.
#[must_use]
pub(super) fn for_pipe(jobs: &[Job]) -> String {
    let mut text = format!("{}\tLINK\tJOB_ID\n", HEAD.join("\t"));
    for job in jobs {
        let (link, id) = (flat(&job.apply_link), flat(&job.job_id));
        let _ = writeln!(text, "{}\t{link}\t{id}", cells(job).join("\t"));
    }
    text
}

fn cells(job: &Job) -> [String; 6] {
    let kind: Vec<_> = [
        job.sample.then_some("sample"),
        job.employment_type.as_deref(),
        job.remote.then_some("remote"),
    ]
    .into_iter()
    .flatten()
    .collect();
    [
        flat(&job.title),
        flat(&job.company),
        flat(&job.location),
        flat(&kind.join(", ")),
        flat(job.salary.as_deref().unwrap_or_default()),
        flat(job.posted_at.as_deref().unwrap_or_default()),
    ]
}

/// On one line, and without what a terminal would obey.
fn flat(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).collect()
}

/// How wide each column is; those that have no room are not there. Empty columns have none either.
fn widths(rows: &[[String; 6]], available: usize) -> Vec<usize> {
    let natural = |column: usize| {
        let widest = rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        if widest == 0 {
            0
        } else {
            widest.max(HEAD[column].width())
        }
    };
    let mut widths: Vec<_> = (0..HEAD.len()).map(natural).collect();
    let total = |widths: &[usize], least: usize| -> usize {
        let shown = widths.iter().filter(|width| **width > 0);
        shown
            .map(|width| (*width).min(least) + GAP.len())
            .sum::<usize>()
            .saturating_sub(GAP.len())
    };
    while widths.len() > 1 && total(&widths, NARROWEST) > available {
        widths.pop();
    }
    while total(&widths, usize::MAX) > available {
        // The widest gives way; a title has twice the room of the others.
        let weight = |(column, width): &(usize, &mut usize)| if *column == 0 { **width / 2 } else { **width };
        let Some((_, widest)) = widths
            .iter_mut()
            .enumerate()
            .max_by_key(weight)
            .filter(|(_, width)| **width > 1)
        else {
            break;
        };
        *widest -= 1;
    }
    widths
}

fn line(text: &mut String, label: &str, number: usize, row: &[String; 6], widths: &[usize]) {
    let mut whole = format!("{label:>number$}");
    for (cell, &width) in row.iter().zip(widths).filter(|(_, width)| **width > 0) {
        let cell = cut(cell, width);
        let _ = write!(whole, "{GAP}{cell}{:pad$}", "", pad = width - cell.width());
    }
    text.push_str(whole.trim_end());
    text.push('\n');
}

/// At most `width` cells of it, with a mark where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cells = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            cells += c.width().unwrap_or(0);
            cells < width
        })
        .collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(title: &str, company: &str) -> Job {
        Job {
            job_id: "id-1".to_owned(),
            title: title.to_owned(),
            company: company.to_owned(),
            location: "Zürich, Switzerland".to_owned(),
            description: "not shown".to_owned(),
            apply_link: "https://jobs.example/apply/with/a/long/path/that/is/never/cut".to_owned(),
            posted_at: Some("2026-11-20".to_owned()),
            employment_type: Some("full-time".to_owned()),
            remote: true,
            salary: Some("90,000–110,000 CHF a year".to_owned()),
            platform: None,
            sample: true,
        }
    }

    fn two() -> [Job; 2] {
        [
            job("Rust engineer", "Nordwind"),
            job("シニアソフトウェアエンジニア（組込み）", "株式会社サンプル"),
        ]
    }

    #[test]
    fn it_fits_every_width_and_cuts_no_link() {
        for width in 12..200 {
            let text = for_terminal(&two(), width);
            for line in text.lines().filter(|line| !line.contains("https://")) {
                assert!(line.width() <= width, "{width}: {line}");
            }
            assert_eq!(text.matches("/never/cut\n").count(), 2);
        }
    }

    #[test]
    fn wide_letters_keep_the_columns_straight() {
        insta::assert_snapshot!(for_terminal(&two(), 100), @r"
           TITLE                        COMPANY        PLACE          KIND          PAY           POSTED
        1  Rust engineer                Nordwind       Zürich, Swit…  sample, ful…  90,000–110,…  2026-11-20
           https://jobs.example/apply/with/a/long/path/that/is/never/cut
        2  シニアソフトウェアエンジニ…  株式会社サン…  Zürich, Swit…  sample, ful…  90,000–110,…  2026-11-20
           https://jobs.example/apply/with/a/long/path/that/is/never/cut
        ");
        insta::assert_snapshot!(for_terminal(&two(), 48), @r"
           TITLE                  COMPANY     PLACE
        1  Rust engineer          Nordwind    Zürich, S…
           https://jobs.example/apply/with/a/long/path/that/is/never/cut
        2  シニアソフトウェアエ…  株式会社…   Zürich, S…
           https://jobs.example/apply/with/a/long/path/that/is/never/cut
        ");
    }

    #[test]
    fn a_pipe_gets_everything_on_a_line_with_tabs() {
        let text = for_pipe(&[job("Rust\tengineer\nand more", "\u{1b}[31mRed")]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].split('\t').count(), 8);
        let cells: Vec<_> = lines[1].split('\t').collect();
        assert_eq!(cells[..2], ["Rust engineer and more", "[31mRed"]);
        assert_eq!(cells[3], "sample, full-time, remote");
        assert_eq!(cells[7], "id-1");
    }

    #[test]
    fn columns_that_no_job_fills_are_left_out() {
        let mut one = job("Baker", "Korn");
        (one.salary, one.posted_at) = (None, None);
        let text = for_terminal(&[one], 200);
        assert!(!text.contains("PAY") && !text.contains("POSTED"), "{text}");
    }
}
