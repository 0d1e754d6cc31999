//! placeholder
use rmcp::model::{GetPromptResult, JsonObject, Prompt};
use crate::config::NameSettings;
/// P
#[derive(Debug)]
pub struct Prompts;
impl Prompts { /// n
 pub fn new(_: &NameSettings) -> Self { Self } /// d
 pub fn definitions(&self) -> Vec<Prompt> { vec![] } /// r
 pub fn render(&self, _: &str, _: &JsonObject) -> Result<GetPromptResult, std::fmt::Error> { Err(std::fmt::Error) } }
