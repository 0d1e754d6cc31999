//! What is wanted, where, and for how much.

use super::{Arguments, Prompt, number, optional, required};

/// Postings that an analysis looks at, unless somebody says.
const DEFAULT_JOBS: u32 = 10;

/// What `search_jobs` answers at most.
const MAX_JOBS: u32 = 20;

pub(super) static PROMPT: Prompt = Prompt {
    name: "analyze_job_market",
    title: "Analyse the job market",
    description: "Looks through current postings for a role and sums up what employers ask for and offer.",
    arguments: &[
        required("role", "The job title to look at, like \"data engineer\"."),
        optional("city", "City to look in; give its country too."),
        optional("country", "Country to look in, by name or two-letter code."),
        optional("platform", "Job board: linkedin, indeed or glassdoor."),
        number(
            "num_jobs",
            "How many postings to look at, 1 to 20; 10 if left out.",
            MAX_JOBS,
        ),
    ],
    render,
};

fn render(arguments: &Arguments<'_>) -> String {
    let role = arguments.text("role");
    let jobs = arguments.number("num_jobs", DEFAULT_JOBS);
    let place = arguments
        .place()
        .map(|place| format!(" in {place}"))
        .unwrap_or_default();
    let mut call = vec![format!("role: \"{role}\"")];
    for name in ["city", "country", "platform"] {
        call.extend(arguments.get(name).map(|value| format!("{name}: \"{value}\"")));
    }
    call.push(format!("num_jobs: {jobs}"));
    format!(
        "I want to understand the market for the role \"{role}\"{place}.

1. Call search_jobs with {}. If it finds fewer than three postings, search once more with a broader role or \
without the city, and tell me that you did.
2. Read every posting in full before you draw conclusions.
3. Then write a report with these sections:
   - **Overview**: how many postings, from which kinds of employers, where, and how many of them remote.
   - **What is asked for**: skills, tools, qualifications and languages, in a table with the number of postings \
that name each; then the years of experience, and what is required versus welcome.
   - **What is offered**: salaries where they are given (as a range, with currency and period), forms of \
employment, benefits that appear more than once.
   - **Patterns**: what most postings share, what only a few ask for, what seems to be rising.
   - **Advice**: three to five concrete steps for somebody who wants such a job, each with the finding behind it.
   - **Postings**: a list of all, with title, company, place and the link to apply.

Base every statement on the postings, and give counts instead of \"many\" or \"some\". Where they do not say, write \
that they do not. If postings are marked as samples, say at the top that the report is an exercise and not the real \
market.",
        call.join(", ")
    )
}
