//! Two operators and one Lease, with the audit log as witness: whoever writes has the Lease, and nobody writes once the
//! other has it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use iam_mcp_e2e::{
    audit::{self, Write},
    fleet::Fleet,
    identity::Identity,
    operator::Operator,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};
use jiff::Timestamp;

/// How long a Lease holds without a renewal.
const LEASE: Duration = Duration::from_secs(10);

/// One of two operators, which acts under a name of its own.
struct Candidate<'a> {
    sandbox: &'a Sandbox,
    identity: Identity,
    name: &'static str,
}

impl<'a> Candidate<'a> {
    async fn new(sandbox: &'a Sandbox, name: &'static str) -> Self {
        Self {
            sandbox,
            identity: Identity::new(&sandbox.client, sandbox.namespace(), name).await,
            name,
        }
    }

    async fn start(&self) -> Operator {
        let namespace = self.sandbox.namespace();
        let lease = [
            "--leader-elect",
            "--lease-namespace",
            namespace,
            "--identity",
            self.name,
        ];
        let arguments = [&self.identity.arguments()[..], &lease].concat();
        Operator::start_with(namespace, &arguments).await
    }
}

async fn leads(operator: &Operator) {
    eventually(SOON, "it to lead", || async {
        let leader = operator.metrics().await.sum("mcp_operator_leader", &[]);
        when(leader == 1, leader)
    })
    .await;
}

/// Leads, and has written something as the leader.
async fn acts(operator: &Operator) {
    leads(operator).await;
    eventually(SOON, "it to write", || async {
        let writes = operator.writes().await;
        when(writes > 0, writes)
    })
    .await;
}

/// Something to write for whoever leads, without a pause, until `over`.
async fn change_without_end(fleet: &mut Fleet<'_>, over: &AtomicBool) {
    for round in 2.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        fleet.change_all(&format!("image:{round}")).await;
    }
}

/// The time in which one user had the Lease.
#[derive(Debug)]
struct Term {
    user: String,
    /// When it was taken: the answer to the first write of it.
    taken: Timestamp,
    /// When the last renewal, or the release, was asked for.
    renewed: Timestamp,
    /// When the next one asked for it, and got it.
    lost: Option<Timestamp>,
}

fn terms(writes: &[Write]) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for write in writes.iter().filter(|w| w.resource == "leases" && w.succeeded()) {
        match terms.last_mut() {
            Some(term) if term.user == write.user => term.renewed = write.received,
            last => {
                if let Some(term) = last {
                    term.lost = Some(write.received);
                }
                terms.push(Term {
                    user: write.user.clone(),
                    taken: write.answered,
                    renewed: write.received,
                    lost: None,
                });
            }
        }
    }
    terms
}

/// Each write lies in a term of its writer, to the end of the answer. Gives how many there were in each term.
fn every_write_is_in_its_term(writes: &[Write], terms: &[Term]) -> Vec<usize> {
    let mut counts = vec![0; terms.len()];
    for write in writes.iter().filter(|write| write.resource != "leases") {
        let in_term = terms.iter().position(|term| {
            let in_time =
                write.received.duration_since(term.renewed) <= jiff::SignedDuration::try_from(LEASE).unwrap();
            term.user == write.user
                && write.received >= term.taken
                && in_time
                && term.lost.is_none_or(|lost| write.answered <= lost)
        });
        let Some(term) = in_term else {
            panic!(
                "{} wrote without the Lease: {write} from {} to {}\n{terms:#?}",
                write.user, write.received, write.answered
            );
        };
        counts[term] += 1;
    }
    counts
}

#[tokio::test]
async fn exactly_one_acts_at_every_moment() {
    let sandbox = Sandbox::without_operator("hand-over").await;
    let (a, b) = (
        Candidate::new(&sandbox, "a").await,
        Candidate::new(&sandbox, "b").await,
    );
    let mut fleet = Fleet::new(&sandbox, 20, "image:1").await;
    let mut first = a.start().await;
    leads(&first).await;
    let second = b.start().await;
    let over = AtomicBool::new(false);

    let handing_over = async {
        // Killed: the Lease runs out.
        acts(&first).await;
        first.signal("KILL");
        first.ended(SOON).await;
        acts(&second).await;
        let first = a.start().await;

        // Stopped in the middle of what it does, and back when the other one leads.
        second.signal("STOP");
        acts(&first).await;
        second.signal("CONT");
        let mut second = second;
        let status = second.ended(SOON).await;
        assert_eq!(status.code(), Some(1), "whoever lost the Lease ends");
        let second = b.start().await;

        // The other way around, once more.
        first.signal("STOP");
        acts(&second).await;
        first.signal("CONT");
        let mut first = first;
        let status = first.ended(SOON).await;
        assert_eq!(status.code(), Some(1), "whoever lost the Lease ends");
        let first = a.start().await;

        // A clean stop gives it up.
        let (_, status) = second.stop().await;
        assert_eq!(status.code(), Some(0));
        acts(&first).await;
        over.store(true, Ordering::Relaxed);
        first
    };
    let (last, ()) = tokio::join!(handing_over, change_without_end(&mut fleet, &over));
    eventually(SOON, "all servers to be in order", || fleet.in_order()).await;
    drop(last);

    let users = [&a.identity.user, &b.identity.user];
    let mut writes = audit::writes_in(sandbox.namespace());
    writes.retain(|write| users.contains(&&write.user));
    let terms = terms(&writes);
    let counts = every_write_is_in_its_term(&writes, &terms);
    println!("{} writes in terms of {counts:?}", writes.len());
    let order: Vec<&String> = terms.iter().map(|term| &term.user).collect();
    assert_eq!(
        order,
        [users[0], users[1], users[0], users[1], users[0]],
        "{terms:#?}"
    );
    // Whoever stops cleanly gives the Lease up when nothing of his is on its way any more.
    let given_up = &terms[3];
    let late = writes.iter().filter(|write| {
        let in_term = write.user == given_up.user && write.received >= given_up.taken;
        in_term && write.resource != "leases" && write.answered > given_up.renewed
    });
    let late: Vec<String> = late.map(ToString::to_string).collect();
    assert!(late.is_empty(), "written after the Lease was given up: {late:?}");
    assert!(
        counts.iter().all(|count| *count > 0),
        "somebody led and did nothing: {counts:?}"
    );
}
