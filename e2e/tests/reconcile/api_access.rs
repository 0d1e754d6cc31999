//! Rules on access, limits, telemetry and sources of jobs: both sides of each.

use serde_json::{Value, json};

use crate::api::check;

fn secret() -> Value {
    json!({"name": "a", "key": "b"})
}

#[tokio::test]
async fn auth_is_one_kind() {
    let oidc =
        json!({"issuer": "https://login.example.com/realm", "audiences": ["https://mcp.example.com/mcp"]});
    let one = "auth: give exactly one of bearer and oidc";
    let source = "auth.bearer: give exactly one of generated and tokensSecretRef";
    let auth = |auth: Value| json!({"auth": auth});
    check(vec![
        (auth(json!({"bearer": {"generated": {}}})), Ok(())),
        (auth(json!({"bearer": {"tokensSecretRef": secret()}})), Ok(())),
        (auth(json!({"oidc": oidc})), Ok(())),
        (auth(json!({})), Err(one)),
        (auth(json!({"bearer": {"generated": {}}, "oidc": oidc})), Err(one)),
        (auth(json!({"bearer": {}})), Err(source)),
        (
            auth(json!({"bearer": {"generated": {}, "tokensSecretRef": secret()}})),
            Err(source),
        ),
    ])
    .await;
}

#[tokio::test]
async fn rotations_leave_time_for_the_one_before() {
    let token = |every: &str| json!({"auth": {"bearer": {"generated": {"rotateEvery": every}}}});
    let key = |every: &str| json!({"sessions": {"rotateKeyEvery": every}});
    let mut cases = Vec::new();
    for good in ["192h", "720h", "99999h"] {
        cases.extend([(token(good), Ok(())), (key(good), Ok(()))]);
    }
    for short in ["100h", "191h"] {
        cases.push((token(short), Err("rotateEvery: at least 192h")));
        cases.push((key(short), Err("sessions.rotateKeyEvery: at least 192h")));
    }
    for bad in ["30d", "720", "0720h", "43200m", "100000h"] {
        cases.push((token(bad), Err("rotateEvery")));
        cases.push((key(bad), Err("rotateKeyEvery")));
    }
    check(cases).await;
}

#[tokio::test]
async fn issuers_audiences_and_scopes() {
    let oidc = |field: &str, value: Value| {
        let mut oidc = json!({"issuer": "https://login.example.com", "audiences": ["jobs"]});
        oidc[field] = value;
        json!({"auth": {"oidc": oidc}})
    };
    let mut cases = vec![
        (
            oidc("issuer", json!("https://login.example.com/realms/jobs/")),
            Ok(()),
        ),
        (
            oidc("audiences", json!(["a", "https://mcp.example.com/mcp?x=1"])),
            Ok(()),
        ),
        (
            oidc("jwksUrl", json!("https://login.example.com/keys?v=2")),
            Ok(()),
        ),
        (
            oidc("scopes", json!(["mcp", "jobs:read|jobs:admin", "a!#[]}~+-/"])),
            Ok(()),
        ),
        (oidc("principalClaim", json!("email")), Ok(())),
        (oidc("publicUrl", json!("https://mcp.example.com/jobs")), Ok(())),
        (
            json!({"auth": {"oidc": {"issuer": "https://a.example"}}}),
            Err("audiences"),
        ),
        (json!({"auth": {"oidc": {"audiences": ["a"]}}}), Err("issuer")),
        (oidc("audiences", json!([])), Err("audiences")),
        (oidc("principalClaim", json!("an email")), Err("principalClaim")),
    ];
    for (field, bad) in [
        ("issuer", "http://login.example.com"),
        ("issuer", "https://login.example.com?a=b"),
        ("issuer", "https://me@login.example.com"),
        ("jwksUrl", "http://login.example.com/keys"),
        ("publicUrl", "mcp.example.com"),
        ("publicUrl", "https://mcp.example.com/#a"),
    ] {
        cases.push((oidc(field, json!(bad)), Err(field)));
    }
    for (field, bad) in [
        ("audiences", "a,b"),
        ("audiences", "a b"),
        ("scopes", "a|"),
        ("scopes", "a b"),
        ("scopes", "a\"b"),
        ("scopes", "a,b"),
        ("scopes", "a\\b"),
    ] {
        cases.push((oidc(field, json!([bad])), Err(field)));
    }
    check(cases).await;
}

#[tokio::test]
async fn limits_and_origins() {
    let tools = |tools: Value| json!({"limits": {"tools": tools}});
    let quota = "limits.tools: each value is a number and s, minute or hour";
    let name = "limits.tools: each key is a tool's name";
    let proxy = |proxy: &str| json!({"limits": {"trustedProxies": [proxy]}});
    let origin = |origin: &str| json!({"cors": {"allowedOrigins": [origin]}});
    let help = "cors.allowedOrigins: each is '*' or scheme://host[:port]";
    check(vec![
        (
            tools(json!({"search_jobs": "10/s", "*": "0", "a.b-c": "500/hour"})),
            Ok(()),
        ),
        (tools(json!({"search jobs": "10/s"})), Err(name)),
        (tools(json!({"a": "10"})), Err(quota)),
        (tools(json!({"a": "0/s"})), Err(quota)),
        (tools(json!({"a": "1/day"})), Err(quota)),
        (
            json!({"limits": {"messagesPerSecond": 0, "sessions": 1, "connections": 1}}),
            Ok(()),
        ),
        (
            json!({"limits": {"messagesPerSecond": -1}}),
            Err("messagesPerSecond"),
        ),
        (json!({"limits": {"sessions": 0}}), Err("sessions")),
        (json!({"limits": {"connections": 0}}), Err("connections")),
        (json!({"limits": {"urlSecretRef": secret()}}), Ok(())),
        (json!({"limits": {"urlSecretRef": {"name": "a"}}}), Err("key")),
        (proxy("10.0.0.0/8"), Ok(())),
        (proxy("fd00::7"), Ok(())),
        (proxy("ingress-nginx"), Err("trustedProxies")),
        (origin("*"), Ok(())),
        (origin("https://*.example.com:8443"), Ok(())),
        (origin("app.example.com"), Err(help)),
        (origin("https://app.example.com/path"), Err(help)),
        (json!({"cors": {"origins": ["*"]}}), Ok(())),
        (
            json!({"cors": {}}),
            Err("cors: give origins, allowedOrigins, or both"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn telemetry() {
    let endpoint = |endpoint: &str| json!({"telemetry": {"traces": {"endpoint": endpoint}}});
    let help = "telemetry.traces.endpoint: use a URL such as http://collector:4318";
    let telemetry = |field: &str, value: Value| json!({"telemetry": {field: value}});
    let sampled = |percent: i32| {
        telemetry(
            "traces",
            json!({"endpoint": "http://c:4318", "samplePercent": percent}),
        )
    };
    check(vec![
        (endpoint("http://collector.observability.svc:4318"), Ok(())),
        (endpoint("https://otlp.example.com/v1"), Ok(())),
        (endpoint("collector:4318"), Err(help)),
        (endpoint("http://me:secret@collector"), Err(help)),
        (endpoint("http://collector?key=1"), Err(help)),
        (sampled(0), Ok(())),
        (sampled(100), Ok(())),
        (sampled(101), Err("samplePercent")),
        (telemetry("logFormat", json!("JSON")), Ok(())),
        (telemetry("logFormat", json!("xml")), Err("logFormat")),
        (telemetry("auditLog", json!("Stderr")), Ok(())),
        (telemetry("auditLog", json!("/var/log/audit")), Err("auditLog")),
        (telemetry("adminTokenSecretRef", secret()), Ok(())),
    ])
    .await;
}

#[tokio::test]
async fn sources_of_jobs() {
    let search = |search: Value| json!({"jobSearch": search});
    let both = "jobSearch: give provider or providers, not both";
    let boards = "jobSearch: greenhouse.boards and Greenhouse in providers need each other";
    let one = "jobSearch.catalogue: give exactly one of configMapName and claimName";
    let key = json!({"keySecretRef": secret()});
    check(vec![
        (
            search(json!({"providers": ["Remotive", "Arbeitnow", "Catalogue"]})),
            Ok(()),
        ),
        (
            search(json!({"providers": ["Remotive"], "provider": "Auto"})),
            Ok(()),
        ),
        (
            search(json!({"providers": ["Remotive"], "provider": "Catalogue"})),
            Err(both),
        ),
        (
            search(json!({"providers": ["Remotive", "Remotive"]})),
            Err("Duplicate value"),
        ),
        (search(json!({"providers": ["Monster"]})), Err("providers")),
        (search(json!({"providers": ["JSearch"], "rapidApi": key})), Ok(())),
        (
            search(json!({"providers": ["JSearch"]})),
            Err("JSearch in providers needs rapidApi.keySecretRef"),
        ),
        (
            search(json!({"providers": ["Greenhouse"], "greenhouse": {"boards": ["stripe"]}})),
            Ok(()),
        ),
        (search(json!({"providers": ["Greenhouse"]})), Err(boards)),
        (search(json!({"greenhouse": {"boards": ["stripe"]}})), Err(boards)),
        (
            search(json!({"providers": ["Greenhouse"], "greenhouse": {"boards": ["../a"]}})),
            Err("boards"),
        ),
        (
            search(json!({"catalogue": {"configMapName": "postings"}})),
            Ok(()),
        ),
        (search(json!({"catalogue": {"claimName": "postings"}})), Ok(())),
        (search(json!({"catalogue": {}})), Err(one)),
        (
            search(json!({"catalogue": {"claimName": "a", "configMapName": "b"}})),
            Err(one),
        ),
        (
            search(json!({"cache": {"seconds": 0, "megabytes": 4096}})),
            Ok(()),
        ),
        (search(json!({"cache": {"seconds": 86401}})), Err("seconds")),
        (search(json!({"rapidApi": {"budget": "off"}})), Ok(())),
        (search(json!({"rapidApi": {"budget": "300/month"}})), Ok(())),
        (search(json!({"rapidApi": {"budget": "0/month"}})), Err("budget")),
        (search(json!({"savedJobs": {"claimName": "saved"}})), Ok(())),
        (search(json!({"savedJobs": {}})), Err("claimName")),
    ])
    .await;
}

#[tokio::test]
async fn a_path_is_mounted_once() {
    let help = "volumeMounts: jobSearch.catalogue mounts /data/catalogue";
    let with = |search: Value, path: &str| {
        json!({
            "jobSearch": search, "volumes": [{"name": "v", "emptyDir": {}}],
            "volumeMounts": [{"name": "v", "mountPath": path}],
        })
    };
    let (catalogue, saved) = (
        json!({"catalogue": {"claimName": "a"}}),
        json!({"savedJobs": {"claimName": "a"}}),
    );
    check(vec![
        (with(json!({}), "/data/catalogue"), Ok(())),
        (with(saved.clone(), "/data/catalogue"), Ok(())),
        (with(catalogue, "/data/catalogue"), Err(help)),
        (with(saved, "/data/saved"), Err(help)),
    ])
    .await;
}

#[tokio::test]
async fn a_variable_or_its_field() {
    let bearer = json!({"auth": {"bearer": {"generated": {}}}});
    let search = |search: Value| json!({"jobSearch": search});
    let fields = [
        (
            bearer,
            vec!["AUTH", "AUTH_TOKENS_FILE", "OIDC_ISSUER", "PUBLIC_URL"],
            "env: auth sets",
        ),
        (
            json!({"limits": {}}),
            vec![
                "LIMITS_URL",
                "MAX_CONNECTIONS",
                "MAX_SESSIONS",
                "RATE_LIMIT",
                "TOOL_LIMITS",
                "TRUSTED_PROXIES",
            ],
            "env: limits sets",
        ),
        (
            json!({"telemetry": {}}),
            vec![
                "ADMIN_TOKEN_FILE",
                "AUDIT_LOG",
                "LOG_FORMAT",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            ],
            "env: telemetry sets",
        ),
        (
            json!({"cors": {"allowedOrigins": ["*"]}}),
            vec!["ALLOWED_ORIGINS"],
            "env: cors.allowedOrigins sets",
        ),
        (
            search(json!({"providers": ["Remotive"]})),
            vec!["JOB_PROVIDERS"],
            "env: jobSearch sets",
        ),
        (
            search(json!({"cache": {}})),
            vec!["JOB_CACHE_MB", "JOB_CACHE_SECONDS"],
            "env: jobSearch sets",
        ),
        (
            search(json!({"savedJobs": {"claimName": "a"}})),
            vec!["SAVED_JOBS"],
            "env: jobSearch sets",
        ),
        (
            search(json!({"rapidApi": {"budget": "off"}})),
            vec!["JSEARCH_BUDGET"],
            "env: jobSearch sets",
        ),
        (
            search(json!({"providers": ["Greenhouse"], "greenhouse": {"boards": ["a"]}})),
            vec!["GREENHOUSE_BOARDS"],
            "env: jobSearch sets",
        ),
    ];
    let mut cases = Vec::new();
    for (field, variables, help) in fields {
        for variable in variables {
            let env = json!([{"name": variable, "value": "1"}]);
            let mut with = field.clone();
            with["env"] = env.clone();
            cases.push((with, Err(help)));
            cases.push((
                json!({"env": env, "jobSearch": {}, "cors": {"origins": ["*"]}}),
                Ok(()),
            ));
        }
        let mut beside = field;
        beside["env"] = json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=b"}]);
        cases.push((beside, Ok(())));
    }
    check(cases).await;
}
