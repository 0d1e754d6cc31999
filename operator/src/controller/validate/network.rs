//! Addresses in the spec: ranges that are written as Kubernetes wants them.

use std::net::IpAddr;

use iam_mcp_crds::{McpServerSpec, NetworkDestination, NetworkPeer};

/// A range of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range {
    v6: bool,
    bits: u128,
    prefix: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (v6, bits) = match address.parse().ok()? {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (true, v6.to_bits()),
        };
        let prefix = prefix.parse().ok().filter(|p| *p <= if v6 { 128 } else { 32 })?;
        Some(Self { v6, bits, prefix })
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - self.prefix).unwrap_or_default()
    }

    /// Whether its address is the first of the range.
    fn is_aligned(self) -> bool {
        self.bits & !self.mask() == 0
    }

    /// Whether it is a part of `other`, and not all of it.
    fn is_within(self, other: Self) -> bool {
        self.v6 == other.v6 && self.prefix > other.prefix && self.bits & other.mask() == other.bits
    }
}

/// What is wrong with the addresses and peers of `spec`.
pub(super) fn problems(spec: &McpServerSpec) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(policy) = &spec.network_policy {
        let lists = [
            ("from", policy.from.clone()),
            ("metricsFrom", policy.metrics_from.clone()),
            ("to", policy.to.iter().map(NetworkDestination::peer).collect()),
            ("dns", policy.dns.iter().map(NetworkDestination::peer).collect()),
        ];
        for (field, peers) in &lists {
            for (index, peer) in peers.iter().enumerate() {
                check(&format!("networkPolicy.{field}[{index}]"), peer, &mut problems);
            }
        }
    }
    for range in spec.service.iter().flat_map(|s| &s.load_balancer_source_ranges) {
        parse("service.loadBalancerSourceRanges", range, &mut problems);
    }
    problems
}

fn check(place: &str, peer: &NetworkPeer, problems: &mut Vec<String>) {
    let pods = peer.namespace_labels.is_some() || peer.pod_labels.is_some();
    let Some(cidr) = &peer.cidr else {
        if !pods {
            problems.push(format!(
                "{place}: needs namespaceLabels, podLabels or cidr; namespaceLabels: {{}} means every pod"
            ));
        }
        if !peer.except.is_empty() {
            problems.push(format!(
                "{place}: except needs cidr, the range that it takes addresses out of"
            ));
        }
        return;
    };
    if pods {
        problems.push(format!(
            "{place}: is either pods, by namespaceLabels and podLabels, or addresses, by cidr; make it two"
        ));
    }
    let Some(range) = parse(place, cidr, problems) else {
        return;
    };
    for except in &peer.except {
        if let Some(part) = parse(place, except, problems)
            && !part.is_within(range)
        {
            problems.push(format!("{place}: except {except} is not a part of cidr {cidr}"));
        }
    }
}

fn parse(place: &str, text: &str, problems: &mut Vec<String>) -> Option<Range> {
    let range = Range::parse(text);
    match range {
        None => problems.push(format!(
            "{place}: {text:?} is no range of addresses such as 10.0.0.0/8"
        )),
        Some(range) if !range.is_aligned() => problems.push(format!(
            "{place}: {text} has bits after its first {}; write the first address of the range",
            range.prefix
        )),
        Some(_) => {}
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |text| Range::parse(text);
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "300.0.0.0/8",
            "fd00::/129",
            "10.0.0.0/-1",
            "/8",
            "01.0.0.0/8",
        ] {
            assert_eq!(range(bad), None, "{bad}");
        }
        for (text, aligned) in [
            ("0.0.0.0/0", true),
            ("10.0.0.0/8", true),
            ("10.0.0.1/8", false),
            ("10.0.0.1/32", true),
            ("2000::/3", true),
            ("::/0", true),
            ("fd00::1/64", false),
            ("fd00::1/128", true),
        ] {
            assert_eq!(range(text).unwrap().is_aligned(), aligned, "{text}");
        }
        for (part, whole, within) in [
            ("10.1.0.0/16", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("11.0.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "0.0.0.0/0", true),
            ("fd00::/16", "0.0.0.0/0", false),
            ("2001:db8::/32", "2000::/3", true),
        ] {
            assert_eq!(
                range(part).unwrap().is_within(range(whole).unwrap()),
                within,
                "{part} {whole}"
            );
        }
    }
}
