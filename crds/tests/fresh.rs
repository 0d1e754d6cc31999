//! The generated files are those that `crdgen` would write now.

use std::path::Path;

fn committed(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn committed_crd_is_fresh() {
    let fresh = iam_mcp_crds::crd_yaml().unwrap();
    for file in [
        "crds/iam-mcp.dev_mcpservers.yaml",
        "charts/iam-mcp-operator/files/iam-mcp.dev_mcpservers.yaml",
    ] {
        assert!(
            committed(file) == fresh,
            "{file} is stale: run `cargo run -p iam-mcp-crds --bin crdgen` and commit the result"
        );
    }
}

#[test]
fn reserved_env_names_stand_in_the_rule() {
    let crd = iam_mcp_crds::crd_yaml().unwrap();
    for name in iam_mcp_crds::spec::RESERVED_ENV {
        assert!(
            crd.contains(&format!("'{name}'")),
            "{name} is missing in the CEL rule of spec.env"
        );
    }
}
