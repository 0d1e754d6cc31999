//! Which releases of the server this operator supports. An upgrade of the operator leaves pods as they are, so a server
//! can fall behind; one that is too far behind, or ahead, is told so, and goes on running.

use std::fmt;

use iam_mcp_crds::{McpServer, ObservedServer, Reason};

use super::error::Blocked;

/// Minor releases of the server older than the operator's own that it supports.
const OLDER: u64 = 2;
/// Minor releases of the server newer than the operator's own that it supports: after a rollback of the operator there are such.
const NEWER: u64 = 1;
/// What our server calls itself over MCP.
const OUR_SERVER: &str = "iam-mcp-server";

/// A release, as far as skew depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Release {
    major: u64,
    minor: u64,
}

impl Release {
    /// This operator's.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::parse(env!("CARGO_PKG_VERSION"))
    }

    /// Reads `MAJOR.MINOR.PATCH`, with or without a `v` before and a `-…` or `+…` after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let core = text.split(['-', '+']).next()?;
        let mut numbers = core.split('.').map(|number| {
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| number.parse::<u64>().ok()).flatten()
        });
        let (Some(major), Some(minor), Some(_), None) =
            (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next())
        else {
            return None;
        };
        Some(Self { major, minor })
    }

    /// Whether an operator of release `operator` supports a server of this one.
    #[must_use]
    pub const fn is_supported_by(self, operator: Self) -> bool {
        self.major == operator.major
            && self.minor + OLDER >= operator.minor
            && self.minor <= operator.minor + NEWER
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What to say of `server`, whose pods have `image` and which `said` this of itself over MCP; `None` if its release is
/// supported, or not known.
#[must_use]
pub fn notice(
    server: &McpServer,
    image: Option<&str>,
    said: Option<&ObservedServer>,
    operator: Release,
) -> Option<Blocked> {
    let (text, running) = running(server, image, said)?;
    if running.is_supported_by(operator) {
        return None;
    }
    let (least, most) = (operator.minor.saturating_sub(OLDER), operator.minor + NEWER);
    let major = operator.major;
    let way_out = match &server.spec.image {
        Some(_) => "set spec.image to one of them",
        None if (running.major, running.minor) < (operator.major, operator.minor) => {
            "its pods get the current release with the next change of the spec, or when the operator runs with \
             --roll-default-image"
        }
        None => "upgrade the operator, or give it the --server-image of one of them and change the spec",
    };
    Some(Blocked {
        reason: Reason::ReleaseUnsupported,
        message: format!(
            "the pods run release {text} of the server, and this operator, of release {operator}, supports {major}.{least} to \
             {major}.{most}; they go on. The way out: {way_out}"
        ),
    })
}

/// The release that runs. An image that somebody chose is anybody's, and its tag says nothing of our releases, but ours says
/// over MCP what it is.
fn running<'a>(
    server: &McpServer,
    image: Option<&'a str>,
    said: Option<&'a ObservedServer>,
) -> Option<(&'a str, Release)> {
    let read = |text: &'a str| Release::parse(text).map(|release| (text, release));
    let by_tag = || image.and_then(tag).and_then(read);
    let by_word = || {
        said.filter(|said| said.name.as_deref() == Some(OUR_SERVER))
            .and_then(|said| said.version.as_deref())
            .and_then(read)
    };
    match server.spec.image {
        Some(_) => by_word(),
        None => by_tag().or_else(by_word),
    }
}

/// The tag of an image reference.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?.rsplit('/').next()?;
    name.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use iam_mcp_crds::McpServerSpec;

    use super::*;

    fn release(text: &str) -> Release {
        Release::parse(text).expect(text)
    }

    fn said(name: &str, version: &str) -> ObservedServer {
        ObservedServer {
            name: Some(name.to_owned()),
            version: Some(version.to_owned()),
            ..ObservedServer::default()
        }
    }

    fn server(image: Option<&str>) -> McpServer {
        let spec = McpServerSpec {
            image: image.map(str::to_owned),
            ..McpServerSpec::default()
        };
        McpServer::new("jobs", spec)
    }

    #[test]
    fn own_version_is_a_release() {
        assert!(Release::own().is_some_and(|own| own.is_supported_by(own)));
    }

    #[test]
    fn two_back_and_one_ahead() {
        let operator = release("1.5.0");
        for supported in ["1.3.9", "1.4.0", "1.5.7", "1.6.0", "v1.6.1-rc.1", "1.5.0+build"] {
            assert!(release(supported).is_supported_by(operator), "{supported}");
        }
        for not in ["1.2.9", "1.7.0", "0.5.0", "2.5.0"] {
            assert!(!release(not).is_supported_by(operator), "{not}");
        }
        assert!(release("0.0.1").is_supported_by(release("0.1.0")));
    }

    #[test]
    fn what_is_no_release_says_nothing() {
        for text in [
            "latest",
            "1",
            "1.2",
            "1.2.x",
            "",
            "dev-1.2.3",
            "1.2.3.4",
            "+1.2.3",
        ] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_tag_is_found_beside_ports_and_digests() {
        assert_eq!(tag("registry:5000/a/server:1.2.0@sha256:00"), Some("1.2.0"));
        assert_eq!(tag("registry:5000/a/server"), None);
        assert_eq!(tag("server:1.2.0"), Some("1.2.0"));
    }

    #[test]
    fn a_server_too_far_away_is_told_with_the_way_out() {
        let operator = release("1.5.0");
        let told = |server: &McpServer, image: &str, said: Option<&ObservedServer>| {
            notice(server, Some(image), said, operator).map(|blocked| blocked.message)
        };
        let old = told(&server(None), "a/server:1.2.0", None).expect("too old");
        assert!(
            old.contains("1.2.0") && old.contains("1.3 to 1.6") && old.contains("--roll-default-image"),
            "{old}"
        );
        let new = told(&server(None), "a/server:1.7.0", None).expect("too new");
        assert!(new.contains("upgrade the operator"), "{new}");
        assert_eq!(told(&server(None), "a/server:1.4.0", None), None);
        assert_eq!(told(&server(None), "a/server:latest", None), None, "nobody knows");

        // A tag is more recent than what was last said, and what was said helps where there is none.
        let word = said(OUR_SERVER, "1.1.0");
        assert_eq!(told(&server(None), "a/server:1.4.0", Some(&word)), None);
        assert!(told(&server(None), "a/server@sha256:00", Some(&word)).is_some());

        // An image that somebody chose.
        let chosen = server(Some("other:9.9.9"));
        assert_eq!(told(&chosen, "other:9.9.9", None), None);
        assert_eq!(told(&chosen, "other:9.9.9", Some(&said("other", "9.9.9"))), None);
        let pinned = told(&chosen, "other:9.9.9", Some(&word)).expect("ours, and too old");
        assert!(pinned.contains("spec.image"), "{pinned}");
    }
}
