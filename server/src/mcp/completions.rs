//! `completion/complete`: what a person may want to type into an argument of a prompt or of a resource's URI.

use std::collections::HashSet;

use rmcp::{
    ErrorData,
    model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference},
};

use super::{prompts, resources::uri};
use crate::{
    http::principal::Principal,
    jobs::{catalogue, country::Country, request::Platform},
    saved::{Saved, SavedJob},
};

/// Suggests values for the argument that `request` is about: `owner`'s own first.
///
/// # Errors
/// When there is no such prompt, template or argument (-32602).
pub async fn complete(
    request: &CompleteRequestParams,
    saved: Option<&Saved>,
    owner: Principal,
) -> Result<CompleteResult, ErrorData> {
    let argument = known(&request.r#ref, &request.argument.name, saved.is_some())?;
    let typed = request.argument.value.trim().to_lowercase();
    let all: Vec<Suggestion> = match argument {
        "country" => Country::all()
            .map(|country| Suggestion {
                value: country.name.to_owned(),
                also: country.code.to_owned(),
            })
            .collect(),
        "platform" => Platform::ALL.map(|platform| platform.name().into()).into(),
        "role" => {
            let own = saved_jobs(saved, owner)
                .await
                .into_iter()
                .map(|saved| saved.job.title.into());
            own.chain(catalogue::roles().into_iter().map(|role| role.to_owned().into()))
                .collect()
        }
        "company" => {
            let own = saved_jobs(saved, owner).await.into_iter();
            own.map(|saved| saved.job.company.into()).collect()
        }
        "job_id" => {
            let own = saved_jobs(saved, owner).await.into_iter();
            own.map(|saved| Suggestion {
                value: saved.job.job_id,
                also: saved.job.title,
            })
            .collect()
        }
        // Folders, numbers and postings are the person's own.
        _ => Vec::new(),
    };
    Ok(CompleteResult::new(fitting(all, &typed)))
}

/// A value, and what else it is found by.
#[derive(Debug)]
struct Suggestion {
    value: String,
    also: String,
}

impl From<&str> for Suggestion {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl From<String> for Suggestion {
    fn from(value: String) -> Self {
        Self {
            value,
            also: String::new(),
        }
    }
}

/// The argument's name, if what it is of has one of this name.
fn known<'a>(reference: &Reference, name: &'a str, with_saved: bool) -> Result<&'a str, ErrorData> {
    let has = match reference {
        Reference::Prompt(prompt) => prompts::has_argument(&prompt.name, name),
        Reference::Resource(template) => {
            (with_saved && template.uri == uri::TEMPLATE).then_some(name == "job_id")
        }
        _ => None,
    };
    match has {
        Some(true) => Ok(name),
        Some(false) => Err(ErrorData::invalid_params(
            "there is no argument of this name",
            None,
        )),
        None => Err(ErrorData::invalid_params(
            "there is no prompt or resource template of this name",
            None,
        )),
    }
}

/// What cannot be read is not suggested; `list_saved_jobs` says what is wrong.
async fn saved_jobs(saved: Option<&Saved>, owner: Principal) -> Vec<SavedJob> {
    match saved {
        Some(saved) => saved
            .list(owner)
            .await
            .map(|listed| listed.jobs)
            .unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Those that are what was typed, those that begin so, and those with a word that does; each once, in their order.
fn fitting(all: Vec<Suggestion>, typed: &str) -> CompletionInfo {
    let mut seen = HashSet::new();
    let mut ranks = [Vec::new(), Vec::new(), Vec::new()];
    for Suggestion { value, also } in all {
        let (lower, also) = (value.to_lowercase(), also.to_lowercase());
        let words = [&lower, &also].map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let rank = if lower == typed || also == typed {
            0
        } else if lower.starts_with(typed) {
            1
        } else if words.into_iter().flatten().any(|word| word.starts_with(typed)) {
            2
        } else {
            continue;
        };
        if seen.insert(lower) {
            ranks[rank].push(value);
        }
    }
    let mut first = ranks.concat();
    let total = u32::try_from(first.len()).ok();
    let more = first.len() > CompletionInfo::MAX_VALUES;
    first.truncate(CompletionInfo::MAX_VALUES);
    let mut info = CompletionInfo::default();
    info.values = first;
    info.total = total;
    info.has_more = Some(more);
    info
}

#[cfg(test)]
mod tests {
    use rmcp::model::ArgumentInfo;
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn suggested(
        reference: Reference,
        argument: &str,
        typed: &str,
    ) -> Result<CompletionInfo, ErrorData> {
        let request = CompleteRequestParams::new(reference, ArgumentInfo::new(argument, typed));
        let folder = tempfile::tempdir().expect("temporary folder");
        let saved = Saved::new(folder.path(), CancellationToken::new());
        let job = serde_json::json!({
            "job_id": "j-1", "title": "Rust Whisperer", "company": "Acme", "location": "Berlin",
            "description": "", "apply_link": "", "remote": false,
        });
        let job = serde_json::from_value(job).expect("a job");
        saved.save(Principal::ANONYMOUS, vec![job]).await.expect("ran");
        complete(&request, Some(&saved), Principal::ANONYMOUS)
            .await
            .map(|result| result.completion)
    }

    async fn of_prompt(argument: &str, typed: &str) -> Vec<String> {
        let market = Reference::for_prompt("analyze_job_market");
        suggested(market, argument, typed)
            .await
            .expect("suggested")
            .values
    }

    #[tokio::test]
    async fn countries_platforms_and_roles_are_suggested() {
        assert_eq!(of_prompt("country", "germ").await, ["Germany"]);
        assert_eq!(of_prompt("country", "DE").await[0], "Germany", "by its code");
        assert_eq!(
            of_prompt("platform", "").await,
            ["linkedin", "indeed", "glassdoor"]
        );
        let roles = of_prompt("role", "rust").await;
        assert_eq!(roles, ["Rust Whisperer", "Rust Engineer"], "saved ones first");
        assert!(of_prompt("role", "engineer").await.len() > 3, "by any word");
        assert_eq!(of_prompt("num_jobs", "").await, [""; 0]);
    }

    #[tokio::test]
    async fn saved_jobs_are_suggested_by_id_and_title() {
        let template = || Reference::for_resource(uri::TEMPLATE);
        for typed in ["j-", "whisperer", "rust"] {
            let suggested = suggested(template(), "job_id", typed).await;
            assert_eq!(suggested.expect("suggested").values, ["j-1"], "{typed}");
        }
    }

    #[tokio::test]
    async fn no_more_than_a_hundred_are_sent() {
        let market = Reference::for_prompt("analyze_job_market");
        let info = suggested(market, "country", "").await.expect("suggested");
        assert_eq!(
            (info.values.len(), info.total, info.has_more),
            (100, Some(249), Some(true))
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_an_error() {
        for (reference, argument) in [
            (Reference::for_prompt("nothing"), "role"),
            (Reference::for_prompt("mesh_resumes"), "role"),
            (Reference::for_resource("jobs://other/{job_id}"), "job_id"),
            (Reference::for_resource(uri::TEMPLATE), "role"),
        ] {
            let error = suggested(reference, argument, "").await.expect_err("unknown");
            assert_eq!(error.code.0, -32602);
        }
    }
}
