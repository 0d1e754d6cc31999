#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iam_mcp_server::fuzzing::forwarded(data));
