//! Several résumés, made into one that holds everything.

use super::{Arguments, Prompt, required};

pub(super) static PROMPT: Prompt = Prompt {
    name: "mesh_resumes",
    title: "Combine my résumés",
    description: "Combines several résumés into one complete document, the base for tailored ones.",
    arguments: &[required(
        "save_directory",
        "Folder of the résumés, and for the result; below the data folder unless it is absolute.",
    )],
    render,
};

fn render(arguments: &Arguments<'_>) -> String {
    let folder = arguments.folder("save_directory");
    let name = arguments.resume_mesh();
    format!(
        "I have several résumés, written for different jobs. Combine them into one document that holds everything I \
have done: not to be sent, but as the source for tailored résumés.

1. Use the résumés that I attached to this conversation; if there are none, read the résumés (Markdown, text, PDF or \
Word) in {folder}. Leave out files whose names start with {name}, which are earlier results. If you find nothing, ask \
me for them and stop.
2. Go through all of them and collect every position, degree, project, publication, certificate, skill and language.
3. Combine them:
   - The same thing in two résumés becomes one entry that keeps all details of both.
   - Where they contradict each other (dates, titles, numbers), keep the newer version and list the contradiction \
at the end under \"To check\".
   - Keep my wording where it is good; never add experience, numbers or skills that no résumé has.
4. Structure: name and contact; profile (all variants, each in one paragraph); experience, newest first, with all \
achievements; projects; education; certificates; skills by group; languages; publications; other; to check.
5. Save it as Markdown: {folder}/{name}_{{date}}.md, where {{date}} is today as YYYY-MM-DD.
6. Tell me the file's full path, which sources you used, and what is listed under \"To check\".

If you cannot write files here, say so and show me the document instead."
    )
}
