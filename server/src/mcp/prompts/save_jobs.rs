//! Postings, kept in a file for later.

use super::{Arguments, Prompt, number, optional, required};

/// Postings that are saved, unless somebody says.
const DEFAULT_JOBS: u32 = 10;

/// The most that one file is meant to hold.
const MAX_JOBS: u32 = 100;

/// What `search_jobs` answers at most.
const PER_CALL: u32 = 20;

pub(super) static PROMPT: Prompt = Prompt {
    name: "save_jobs",
    title: "Save job postings",
    description: "Searches postings for a role and saves them as a JSON file.",
    arguments: &[
        required(
            "jobs_dir",
            "Folder for the file, below the data folder unless it is absolute.",
        ),
        required("role", "The job title to search for."),
        optional("city", "City to search in; give its country too."),
        optional("country", "Country to search in, by name or two-letter code."),
        number(
            "num_jobs",
            "How many postings to save, 1 to 100; 10 if left out.",
            MAX_JOBS,
        ),
    ],
    render,
};

fn render(arguments: &Arguments<'_>) -> String {
    let role = arguments.text("role");
    let jobs = arguments.number("num_jobs", DEFAULT_JOBS);
    let folder = arguments.folder("jobs_dir");
    let place = arguments
        .place()
        .map(|place| format!(" in {place}"))
        .unwrap_or_default();
    let part = |name: &str| arguments.get(name).unwrap_or_else(|| "any".to_owned());
    let file = file_name(&[&role, &part("city"), &part("country"), &jobs.to_string()]);
    let search = if jobs <= PER_CALL {
        format!("Call search_jobs with role \"{role}\" and num_jobs {jobs}")
    } else {
        format!(
            "search_jobs answers {PER_CALL} postings a call at most. Call it several times with num_jobs {PER_CALL} and \
variations of the role (synonyms, seniorities, related titles), starting with \"{role}\""
        )
    };
    format!(
        "Find {jobs} postings for \"{role}\"{place}, and save them for me.

1. {search}; pass city and country on if I gave them{place}.
2. Drop postings that appear twice (same job_id, or same title, company and location). If there are fewer than \
{jobs} in the end, save what there is and tell me the number.
3. Write one JSON file, UTF-8, indented by two spaces:
   - folder: {folder} (make it if it does not exist)
   - name: {{date}}_{file}, where {{date}} is today as YYYY-MM-DD
   - content: an object with the keys saved_at (time, ISO 8601), search (role, city, country, num_jobs) and jobs \
(a list; every posting with all the fields that search_jobs answered, unchanged)
4. If a file of that name exists, do not overwrite it: add _2, _3 and so on before .json.
5. When you are done, tell me the file's full path and the number of postings, and show a table with title, \
company, location and link.

Do not shorten, translate or invent anything in the file. If you cannot write files here, say so, keep the \
postings with the tool save_jobs if you have it, and show me the JSON."
    )
}

/// Joined by underscores; spaces inside a part become hyphens, and what a file system could mind goes.
fn file_name(parts: &[&str]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| {
            let words: Vec<String> = part
                .to_lowercase()
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            words.join("-")
        })
        .collect();
    format!("{}.json", parts.join("_"))
}
