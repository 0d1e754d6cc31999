//! Asks the person for the role that a search is called without, where the client can ask (elicitation).
//!
//! Clients of 2026-07-28 get the question as the result and call again with the answer (MRTR). That second call
//! says everything anew, so there is no `requestState`: any replica can go on, and there is nothing to forge.
//! Older ones are asked by a request of ours, where there is a way back to them.

use std::{collections::BTreeMap, time::Duration};

use rmcp::{
    model::{
        ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationCapability,
        ElicitationSchema, InputRequest, InputRequiredResult, ProtocolVersion,
    },
    service::ServiceError,
};
use serde_json::Value;

use super::Call;

/// The question's name, and that of its only field.
const ROLE: &str = "role";

/// The longest answer.
const MOST: u32 = 200;

/// How long a person may think. Most clients give up on a call before.
const PATIENCE: Duration = Duration::from_mins(5);

const QUESTION: &str = "Which job should be searched for?";

const HINT: &str = "A job title, perhaps with a skill or two, like \"Python developer\".";

/// What became of the question.
#[derive(Debug)]
pub(super) enum Asked {
    /// The person's answer.
    Role(String),
    /// The client has to ask, and call again.
    First(InputRequiredResult),
    /// Nothing, for this reason.
    No(Refusal),
}

/// Why there is no answer, in words for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The client cannot ask, or not over this transport.
    #[error("Say what to look for: role is missing. For example {{\"role\": \"Python developer\"}}.")]
    CannotAsk,
    /// The person did not want to say.
    #[error("Nothing was searched: the user was asked for the role, and declined to say it.")]
    Declined,
    /// The person broke it off.
    #[error("Nothing was searched: the user was asked for the role, and cancelled.")]
    Cancelled,
    /// The answer is no role.
    #[error(
        "Nothing was searched: the user was asked for the role, and the answer holds none. Pass it as role."
    )]
    Unusable,
    /// There was no answer.
    #[error("Nothing was searched: the user was asked for the role, and did not answer. Pass it as role.")]
    Silent,
}

/// Asks, or reads the answer to what was asked before.
pub(super) async fn ask(call: &Call<'_>) -> Asked {
    let version = call.context.protocol_version();
    let modern = version.as_ref().is_some_and(|version| !version.has_initialize());
    if modern {
        return again(call);
    }
    // From the handshake, not from what a single request says: on a transport without sessions there is no way
    // back to the client, whatever it can do.
    let client = call.context.peer.peer_info();
    let elicitation = client
        .as_ref()
        .and_then(|client| client.capabilities.elicitation.as_ref());
    let since = version.is_some_and(|version| version >= ProtocolVersion::V_2025_06_18);
    let question = if since && elicitation.is_some_and(has_forms) {
        question()
    } else {
        None
    };
    let Some(question) = question else {
        return Asked::No(Refusal::CannotAsk);
    };
    let asking = call
        .context
        .peer
        .create_elicitation_with_timeout(question, Some(PATIENCE));
    let Some(answered) = call.gone().run_until_cancelled(asking).await else {
        return Asked::No(Refusal::Silent);
    };
    match answered {
        Ok(answer) => read(&answer),
        Err(ServiceError::Timeout { .. }) => Asked::No(Refusal::Silent),
        Err(error) => {
            tracing::debug!(%error, "a client could not ask for a role");
            Asked::No(Refusal::Unusable)
        }
    }
}

/// Of 2026-07-28: the answer came with the call, or the client has to ask.
fn again(call: &Call<'_>) -> Asked {
    let answer = call.answers.as_ref().and_then(|answers| answers.get(ROLE));
    if let Some(answer) = answer {
        return match serde_json::from_value(answer.clone()) {
            Ok(answer) => read(&answer),
            Err(_) => Asked::No(Refusal::Unusable),
        };
    }
    let client = call.context.client_capabilities();
    let elicitation = client.as_ref().and_then(|client| client.elicitation.as_ref());
    match elicitation
        .filter(|elicitation| has_forms(elicitation))
        .and_then(|_| question())
    {
        Some(question) => {
            let request = InputRequest::Elicitation(ElicitRequest::new(question));
            let requests = BTreeMap::from([(ROLE.to_owned(), request)]);
            Asked::First(InputRequiredResult::from_input_requests(requests))
        }
        None => Asked::No(Refusal::CannotAsk),
    }
}

/// A client that names neither way can show forms, as all could before there were two.
fn has_forms(elicitation: &ElicitationCapability) -> bool {
    elicitation.form.is_some() || elicitation.url.is_none()
}

fn question() -> Option<ElicitRequestParams> {
    let schema = ElicitationSchema::builder()
        .required_string_property(ROLE, |role| role.title("Role").description(HINT).length(1, MOST))
        .build()
        .inspect_err(|error| tracing::error!(%error, "the question for a role is none"))
        .ok()?;
    Some(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: QUESTION.to_owned(),
        requested_schema: schema,
    })
}

fn read(answer: &ElicitResult) -> Asked {
    match answer.action {
        ElicitationAction::Accept => {
            let role = answer.content.as_ref().and_then(|content| content.get(ROLE));
            match role.and_then(Value::as_str).map(str::trim) {
                Some(role) if !role.is_empty() => Asked::Role(role.to_owned()),
                _ => Asked::No(Refusal::Unusable),
            }
        }
        ElicitationAction::Decline => Asked::No(Refusal::Declined),
        _ => Asked::No(Refusal::Cancelled),
    }
}
