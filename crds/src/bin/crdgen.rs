//! Writes `crds/iam-mcp.dev_mcpservers.yaml` and the chart's copy of it; with `--print`, prints it.

use std::{fs, path::Path, process::ExitCode};

/// The generated files, from the workspace's root.
const FILES: &[&str] = &[
    "crds/iam-mcp.dev_mcpservers.yaml",
    "charts/iam-mcp-operator/files/iam-mcp.dev_mcpservers.yaml",
];

fn main() -> ExitCode {
    let yaml = match iam_mcp_crds::crd_yaml() {
        Ok(yaml) => yaml,
        Err(error) => {
            eprintln!("crdgen: {error}");
            return ExitCode::FAILURE;
        }
    };
    if std::env::args().any(|a| a == "--print") {
        print!("{yaml}");
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in FILES {
        let path = root.join(file);
        if let Err(error) =
            fs::create_dir_all(path.parent().unwrap_or(&root)).and_then(|()| fs::write(&path, &yaml))
        {
            eprintln!("crdgen: cannot write {file}: {error}");
            return ExitCode::FAILURE;
        }
        println!("{file}");
    }
    ExitCode::SUCCESS
}
