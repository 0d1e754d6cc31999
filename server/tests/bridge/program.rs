//! A program that speaks MCP of 2025 on stdin and stdout. It is this test binary, started anew: what libtest prints first is
//! no message, as with programs that greet.

use std::{
    io::{self, BufRead as _, Write as _},
    process,
};

use serde_json::{Value, json};

/// Says, by what it does with a request before `initialize`, that this process is to be the program.
const MODE: &str = "BRIDGE_TEST_PROGRAM";

/// An answer that no reader and writer of JSON in between would leave as it is.
pub(super) const EXACT: &str =
    r#"{ "result":{"b":1.50, "a":1E2,"big":123456789012345678901234567890},"jsonrpc":"2.0","id":ID }"#;

/// How it is started: `mode` is `refuses`, `exits` or `ignores` what comes before `initialize`.
pub(super) fn command(mode: &str) -> Vec<String> {
    let own = std::env::current_exe().expect("a path");
    let own = own.to_str().expect("text");
    let mode = format!("{MODE}={mode}");
    let name = "bridge::program::program";
    [
        "--",
        "env",
        &mode,
        own,
        "--exact",
        name,
        "--ignored",
        "--nocapture",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
#[ignore = "no test, but the program of others"]
fn program() {
    let Ok(mode) = std::env::var(MODE) else { return };
    eprintln!("the program says hello on stderr");
    let mut program = Program {
        mode,
        initialized: false,
        asked: None,
        cancelled: Vec::new(),
    };
    for line in io::stdin().lock().lines() {
        let message = serde_json::from_str(&line.expect("text")).expect("one message a line");
        program.take(&message);
    }
    process::exit(0);
}

struct Program {
    mode: String,
    initialized: bool,
    /// The call that waits for an answer of the client's.
    asked: Option<Value>,
    cancelled: Vec<Value>,
}

fn say(message: &Value) {
    println!("{message}");
    io::stdout().flush().expect("written");
}

impl Program {
    fn take(&mut self, message: &Value) {
        let (id, params) = (&message["id"], &message["params"]);
        let result = match message["method"].as_str() {
            Some("initialize") => {
                self.initialized = true;
                if params["protocolVersion"] == "1999-01-01" {
                    say(
                        &json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "too old"}}),
                    );
                    return;
                }
                json!({
                    "protocolVersion": params["protocolVersion"], "serverInfo": {"name": "fixture", "version": "1"},
                    "capabilities": {"tools": {"listChanged": true}}, "x-unknown": {"kept": [1.50, null]},
                })
            }
            Some(_) if !self.initialized => match self.mode.as_str() {
                "exits" => process::exit(3),
                "ignores" => return,
                _ => {
                    say(
                        &json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32600, "message": "initialize first"}}),
                    );
                    return;
                }
            },
            Some("tools/list") => {
                json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}, "x-more": 1}]})
            }
            Some("tools/call") => match self.call(id, params) {
                Some(result) => result,
                None => return,
            },
            Some("notifications/cancelled") => {
                self.cancelled.push(params["requestId"].clone());
                return;
            }
            Some(_) if id.is_null() => return,
            Some(method) => {
                let message = format!("no {method}");
                say(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": message}}));
                return;
            }
            None => {
                let Some(call) = self.asked.take() else { return };
                say(&json!({"jsonrpc": "2.0", "id": call, "result": {"answered": message}}));
                return;
            }
        };
        say(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    /// The result, if there is one now.
    fn call(&mut self, id: &Value, params: &Value) -> Option<Value> {
        match params["name"].as_str().unwrap_or_default() {
            "pid" => Some(json!({ "pid": process::id() })),
            "params" => Some(json!({ "params": params })),
            "variable" => {
                let name = params["arguments"]["name"].as_str().unwrap_or_default();
                Some(json!({ "value": std::env::var(name).ok() }))
            }
            "progress" => {
                let token = &params["_meta"]["progressToken"];
                for progress in [1, 2] {
                    let told = json!({"progressToken": token, "progress": progress, "x-more": [2.50]});
                    say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": told}));
                }
                Some(json!({ "content": [], "x-unknown": 1.50 }))
            }
            "ask" => {
                self.asked = Some(id.clone());
                say(
                    &json!({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {"x": 1}}),
                );
                None
            }
            "announce" => {
                say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
                Some(json!({}))
            }
            "exact" => {
                println!("{}", EXACT.replace("ID", &id.to_string()));
                None
            }
            "crash" => process::exit(7),
            "wait" => None,
            "cancelled" => Some(json!({ "requests": self.cancelled })),
            name => Some(json!({ "content": [{"type": "text", "text": name}] })),
        }
    }
}
