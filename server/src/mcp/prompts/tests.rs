use serde_json::json;

use super::*;

fn prompts() -> Prompts {
    Prompts::new(&NameSettings {
        app: "test".to_owned(),
        data_root: "/data".into(),
        resume_mesh: "mesh".to_owned(),
    })
}

fn text(name: &str, arguments: serde_json::Value) -> Result<String, Error> {
    let serde_json::Value::Object(arguments) = arguments else {
        panic!("an object")
    };
    let rendered = prompts().render(name, &arguments)?;
    let json = serde_json::to_value(&rendered.messages[0]).expect("JSON");
    Ok(json["content"]["text"].as_str().expect("text").to_owned())
}

#[test]
fn arguments_and_required_flags_are_those_that_clients_know() {
    let shown: Vec<_> = prompts()
        .definitions()
        .into_iter()
        .map(|prompt| {
            let arguments: Vec<_> = prompt
                .arguments
                .unwrap_or_default()
                .into_iter()
                .map(|argument| {
                    format!(
                        "{}{}",
                        argument.name,
                        if argument.required == Some(true) { "!" } else { "" }
                    )
                })
                .collect();
            format!("{}({})", prompt.name, arguments.join(", "))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    analyze_job_market(role!, city, country, platform, num_jobs)
    save_jobs(jobs_dir!, role!, city, country, num_jobs)
    mesh_resumes(save_directory!)
    generate_resume(save_directory!, role!, company!, job_description!)
    generate_cover_letter(save_directory!, role!, company!, job_description!)
    ");
}

#[test]
fn files_are_named_as_people_know_them_and_go_below_the_data_root() {
    let job =
        json!({ "save_directory": "cv", "role": "Nurse", "company": "Acme", "job_description": "Care." });
    for (name, arguments, file) in [
        (
            "generate_resume",
            job.clone(),
            "/data/cv/{date}_{company}_{role}_resume.md",
        ),
        (
            "generate_cover_letter",
            job,
            "/data/cv/{date}_{company}_{role}_cover_letter.md",
        ),
        (
            "mesh_resumes",
            json!({ "save_directory": "cv" }),
            "/data/cv/mesh_{date}.md",
        ),
        (
            "save_jobs",
            json!({ "jobs_dir": "/elsewhere", "role": "Data Engineer", "city": "Berlin", "num_jobs": 5 }),
            "{date}_data-engineer_berlin_any_5.json",
        ),
    ] {
        let text = text(name, arguments).expect("renders");
        assert!(text.contains(file), "{name}: {file} is not in {text}");
    }
}

#[test]
fn the_tool_call_is_spelt_out() {
    let text = text(
        "analyze_job_market",
        json!({ "role": "nurse", "city": "Oslo", "country": "NO", "num_jobs": "7" }),
    );
    let text = text.expect("renders");
    assert!(
        text.contains("role: \"nurse\", city: \"Oslo\", country: \"NO\", num_jobs: 7"),
        "{text}"
    );
}

#[test]
fn what_does_not_do_is_said() {
    let missing = Error::Missing {
        prompt: "generate_resume",
        argument: "role",
    };
    let given = json!({ "save_directory": "x", "role": " ", "company": "y", "job_description": "z" });
    assert_eq!(text("generate_resume", given), Err(missing));
    let range = Error::Range {
        argument: "num_jobs",
        max: 100,
    };
    assert_eq!(
        text(
            "save_jobs",
            json!({ "jobs_dir": "x", "role": "y", "num_jobs": "101" })
        ),
        Err(range)
    );
    assert_eq!(
        text("nothing", json!({})),
        Err(Error::Unknown("nothing".to_owned()))
    );
}
