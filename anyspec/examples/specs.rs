//! `specs NUMBER [SEED]`: that many McpServers as a YAML stream (each document is JSON), for `iam-mcp-operator render`.

use iam_mcp_anyspec::Source;
use serde_json::json;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(number)), seed) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: specs NUMBER [SEED]");
        std::process::exit(2);
    };
    let seed = seed.and_then(Result::ok).unwrap_or(1);
    for index in 0..number {
        let name = format!("server-{index}");
        let spec = Source::new(&name, seed.wrapping_add(index)).next();
        let server = json!({
            "apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer",
            "metadata": {"name": name, "namespace": "any"}, "spec": spec,
        });
        println!("---\n{server}");
    }
}
