#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iam_mcp_server::fuzzing::host_and_origin(data));
