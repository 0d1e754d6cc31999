//! Calls by `POST /mcp`.

use std::{cell::Cell, io, rc::Rc};

use tokio::{task, time::Instant};

use crate::{
    http1::Connection,
    timing::{Load, Measured},
    wrong,
};

/// One in so many answers is searched for what it must hold.
const LOOKED_AT: u32 = 64;

/// Whether `text` stands in `bytes`.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Sends a request and reads its answer; how many bytes there were.
async fn call(connection: &mut Connection, request: &[u8], expect: Option<&str>) -> io::Result<usize> {
    connection.write(request).await?;
    let (head, body) = connection.answer().await?;
    if head.status / 100 != 2 || expect.is_some_and(|expect| !holds(&body, expect)) {
        let body = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        return Err(wrong(format!("{} {body}", head.status)));
    }
    Ok(body.len())
}

/// Calls over connections that stay open, one after the other on each, or at a rate. `requests` are parted by zero
/// bytes, and sent in turn by all clients together.
pub async fn http(port: u16, load: Load, requests: Vec<u8>, expect: String) -> io::Result<Measured> {
    let requests: &'static [u8] = requests.leak();
    let requests: Rc<Vec<&[u8]>> = Rc::new(requests.split(|byte| *byte == 0).collect());
    let sent = Rc::new(Cell::new(0));
    let expect: &'static str = expect.leak();
    let mut connections = Vec::new();
    for _ in 0..load.clients() {
        connections.push(Connection::open(port).await?);
    }
    load.begin();
    let mut clients = Vec::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let (load, requests, sent) = (load.clone(), Rc::clone(&requests), Rc::clone(&sent));
        clients.push(task::spawn_local(async move {
            let mut turn = 0;
            while load.next(number, turn).await {
                let request = requests[sent.replace(sent.get() + 1) % requests.len()];
                let start = Instant::now();
                let expect = turn.is_multiple_of(LOOKED_AT).then_some(expect);
                let bytes = call(&mut connection, request, expect).await?;
                load.took(start.elapsed(), bytes);
                turn += 1;
            }
            Ok::<_, io::Error>(())
        }));
    }
    for client in clients {
        client.await.map_err(|error| wrong(error.to_string()))??;
    }
    Ok(load.measured())
}

/// Clients that come and go: each connects, initializes, calls once and leaves, and then comes anew. The call's time
/// is what is measured.
pub async fn visit(
    port: u16,
    load: Load,
    initialize: Vec<u8>,
    request: Vec<u8>,
    expect: String,
) -> io::Result<Measured> {
    let (initialize, request): (&'static [u8], &'static [u8]) = (initialize.leak(), request.leak());
    let expect: &'static str = expect.leak();
    load.begin();
    let mut clients = Vec::new();
    for number in 0..load.clients() {
        let load = load.clone();
        clients.push(task::spawn_local(async move {
            let mut turn = 0;
            while load.next(number, turn).await {
                let mut connection = Connection::open(port).await?;
                call(&mut connection, initialize, Some("serverInfo")).await?;
                let start = Instant::now();
                let bytes = call(&mut connection, request, Some(expect)).await?;
                load.took(start.elapsed(), bytes);
                turn += 1;
            }
            Ok::<_, io::Error>(())
        }));
    }
    for client in clients {
        client.await.map_err(|error| wrong(error.to_string()))??;
    }
    Ok(load.measured())
}
