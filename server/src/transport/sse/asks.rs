//! Requests of ours to a session's client: a call asks on the stream, and the answer comes with a POST, which
//! goes back to the call.
//!
//! Each call numbers its requests for itself, so on the stream they get other numbers, which no two calls of a
//! session share.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rmcp::model::{
    ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerNotification,
};
use tokio::sync::mpsc;

use super::{sealed, session::Session};

/// Requests of one session that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<i64, Ask>>);

#[derive(Debug)]
struct Ask {
    /// Its number among the call's requests.
    own: RequestId,
    call: mpsc::UnboundedSender<ClientJsonRpcMessage>,
}

impl Waiting {
    /// Whether any wait.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Gives an answer to the call that waits for it; false if none does. Each gets one.
    pub(super) fn answer(&self, mut message: ClientJsonRpcMessage) -> bool {
        let id = match &mut message {
            JsonRpcMessage::Response(response) => &mut response.id,
            JsonRpcMessage::Error(error) => match &mut error.id {
                Some(id) => id,
                None => return false,
            },
            _ => return false,
        };
        let RequestId::Number(number) = id else {
            return false;
        };
        let Some(ask) = self.0.lock().remove(number) else {
            return false;
        };
        *id = ask.own;
        ask.call.send(message).is_ok()
    }
}

/// The requests of one call. When it is dropped, nobody waits for their answers any more.
pub(super) struct Asks {
    session: Arc<Session>,
    numbers: HashMap<RequestId, i64>,
    // As many as the call has requests: a client cannot make it grow.
    call: mpsc::UnboundedSender<ClientJsonRpcMessage>,
    answers: mpsc::UnboundedReceiver<ClientJsonRpcMessage>,
}

impl Asks {
    pub(super) fn new(session: Arc<Session>) -> Self {
        let (call, answers) = mpsc::unbounded_channel();
        Self {
            session,
            numbers: HashMap::new(),
            call,
            answers,
        }
    }

    /// Puts the session's number on a request, and on what says that it is not wanted any more.
    pub(super) fn number(&mut self, message: &mut ServerJsonRpcMessage) {
        match message {
            JsonRpcMessage::Request(request) => {
                // A number that nobody guesses, and that an answer to a former stream's request does not have.
                let number = u64::from_le_bytes(sealed::random().unwrap_or_default()) >> 12;
                let number = i64::try_from(number).unwrap_or_default();
                let own = std::mem::replace(&mut request.id, RequestId::Number(number));
                self.numbers.insert(own.clone(), number);
                let ask = Ask {
                    own,
                    call: self.call.clone(),
                };
                self.session.waiting().0.lock().insert(number, ask);
            }
            JsonRpcMessage::Notification(notification) => {
                if let ServerNotification::CancelledNotification(cancelled) = &mut notification.notification
                    && let Some(id) = &mut cancelled.params.request_id
                    && let Some(number) = self.numbers.get(id)
                {
                    *id = RequestId::Number(*number);
                }
            }
            _ => {}
        }
    }

    /// The next answer.
    pub(super) async fn next(&mut self) -> Option<ClientJsonRpcMessage> {
        self.answers.recv().await
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        let mut waiting = self.session.waiting().0.lock();
        for number in self.numbers.values() {
            waiting.remove(number);
        }
    }
}
