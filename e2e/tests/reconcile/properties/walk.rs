//! One random walk: a server whose spec changes, whose children are edited and deleted, and into whose children others put
//! things, while the operator works. All its choices follow from its seed.

use std::time::Duration;

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    json_patch,
    poll::{found, when},
    render,
    sandbox::Sandbox,
    servers::server,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    dice::Dice,
    edits,
    foreign::{self, Mark},
    judge::{Kind, judge, kinds},
};

/// Steps of a walk.
pub(crate) const STEPS: usize = 8;
/// Until the operator has put everything right; two hundred walks keep it and the API server busy.
const RIGHT: Duration = Duration::from_mins(1);

/// A walk, and where it has come to.
pub(crate) struct Walk<'a> {
    sandbox: &'a Sandbox,
    name: String,
    dice: Dice,
    /// Specs to take fields from, the last one first.
    specs: Vec<Value>,
    spec: Value,
    rendered: Vec<Value>,
    kinds: Vec<Kind>,
    marks: Vec<Mark>,
    excused: Vec<String>,
    /// What was done, for the message of a failure.
    pub(crate) told: Vec<String>,
}

impl<'a> Walk<'a> {
    /// The server called `name` begins with the last of `specs`.
    pub(crate) fn new(sandbox: &'a Sandbox, name: &str, seed: u64, mut specs: Vec<Value>) -> Self {
        Self {
            sandbox,
            name: name.to_owned(),
            dice: Dice::new(seed),
            spec: specs.pop().unwrap(),
            specs,
            rendered: Vec::new(),
            kinds: kinds(sandbox, name),
            marks: Vec::new(),
            excused: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Goes all the way, and looks whether it ended where it should.
    pub(crate) async fn go(&mut self) -> Result<(), String> {
        self.tell(format!("made with {}", self.spec));
        let first = server(&self.name, self.spec.clone());
        let api = self.sandbox.api::<McpServer>();
        api.create(&PostParams::default(), &first)
            .await
            .map_err(|e| e.to_string())?;
        self.render().await?;
        for _ in 0..STEPS {
            self.step().await?;
            if self.dice.one_in(3) {
                self.right().await?;
            }
        }
        self.right().await?;
        self.scale().await?;
        self.right().await?;
        foreign::stay(&self.kinds, &self.marks, &self.excused).await
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.dice.below(12) {
            0 | 1 => self.change_fields().await,
            2 => self.pause_for_a_while().await,
            3..=5 => self.edit().await,
            6 => self.remove().await,
            7 => self.add().await,
            8 => self.delete().await,
            _ => self.put_in_something_foreign().await,
        }
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }

    /// Some groups of fields become what another spec has there.
    async fn change_fields(&mut self) -> Result<(), String> {
        let Some(other) = self.specs.pop() else {
            return Ok(());
        };
        let mut spec = self.spec.as_object().cloned().unwrap_or_default();
        let other = other.as_object().cloned().unwrap_or_default();
        let fields: Vec<String> = spec.keys().chain(other.keys()).cloned().collect();
        for field in fields {
            if self.dice.one_in(3) {
                match other.get(&field) {
                    Some(value) => spec.insert(field, value.clone()),
                    None => spec.remove(&field),
                };
            }
        }
        let mut spec = Value::Object(spec);
        iam_mcp_anyspec::fit(&mut spec);
        super::fit_here(&mut spec);
        self.set_spec(spec).await
    }

    async fn set_spec(&mut self, spec: Value) -> Result<(), String> {
        self.tell(format!("spec becomes {spec}"));
        let patch = json!([{"op": "replace", "path": "/spec", "value": &spec}]);
        let api = self.sandbox.api::<McpServer>();
        // Children of kinds that are no longer asked for go; they are looked up before.
        let before = self.rendered.clone();
        let live = self.uids().await?;
        json_patch::send(
            &self.sandbox.client,
            api.resource_url(),
            &self.name,
            "a-person",
            &patch,
        )
        .await
        .map_err(|e| format!("the API server refuses a spec: {e}"))?;
        self.spec = spec;
        self.render().await?;
        for (kind, uid) in live {
            let (had, has) = (contains(&before, kind), contains(&self.rendered, kind));
            if had && !has {
                self.excused.push(uid);
            }
        }
        Ok(())
    }

    /// While it is paused everything stays as it is; afterwards all is made good.
    async fn pause_for_a_while(&mut self) -> Result<(), String> {
        for paused in [true, false] {
            self.tell(format!("paused: {paused}"));
            let patch = json!({"spec": {"paused": paused}});
            self.sandbox
                .api::<McpServer>()
                .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(|e| e.to_string())?;
            if paused {
                self.edit().await?;
                self.delete().await?;
            }
        }
        self.spec["paused"] = json!(false);
        Ok(())
    }

    async fn edit(&mut self) -> Result<(), String> {
        let Some((kind, live, fields)) = self.any_owned().await? else {
            return Ok(());
        };
        // Some edits are refused by the API server, and so change nothing.
        for _ in 0..4 {
            let Some(field) = self.dice.pick(&fields).cloned() else {
                return Ok(());
            };
            let value = edits::another(&field.value, &mut self.dice);
            let patch = json!([{"op": "replace", "path": &field.pointer, "value": &value}]);
            if self
                .json_patch(kind, &live, patch, &format!("edit {} to {value}", field.pointer))
                .await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), String> {
        let Some((kind, live, fields)) = self.any_owned().await? else {
            return Ok(());
        };
        for _ in 0..4 {
            let Some(field) = self.dice.pick(&fields).cloned() else {
                return Ok(());
            };
            let patch = json!([{"op": "remove", "path": &field.pointer}]);
            if self
                .json_patch(kind, &live, patch, &format!("remove {}", field.pointer))
                .await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn add(&mut self) -> Result<(), String> {
        let Some((kind, live)) = self.any_child().await? else {
            return Ok(());
        };
        let json = serde_json::to_value(&live).map_err(|e| e.to_string())?;
        let Some((what, patch)) = self.dice.pick(&edits::additions(kind, &json)).cloned() else {
            return Ok(());
        };
        self.json_patch(kind, &live, patch, &format!("add {what}"))
            .await?;
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), String> {
        let Some((kind, live)) = self.any_child().await? else {
            return Ok(());
        };
        self.tell(format!("delete {kind}"));
        self.excused.extend(live.uid());
        let params = DeleteParams::background();
        not_found_is_fine(self.api(kind).delete(&live.name_any(), &params).await.map(drop)).map(drop)
    }

    async fn put_in_something_foreign(&mut self) -> Result<(), String> {
        let Some((kind, live)) = self.any_child().await? else {
            return Ok(());
        };
        let (patch, what) = foreign::any(kind, &self.name, &mut self.dice);
        self.tell(format!("others put {what:?} into {kind}"));
        let params = PatchParams {
            field_manager: Some("an-injector".to_owned()),
            ..PatchParams::default()
        };
        // Only Kubernetes' own kinds have strategic merge patches.
        let patch = if matches!(kind, "HTTPRoute" | "PodMonitor") {
            Patch::Merge(patch)
        } else {
            Patch::Strategic(patch)
        };
        let answer = self.api(kind).patch(&live.name_any(), &params, &patch).await;
        let uid = answer.as_ref().ok().and_then(ResourceExt::uid);
        if not_found_is_fine(answer.map(drop))? {
            let uid = uid.unwrap_or_default();
            for what in what {
                // What is written last stays.
                self.marks
                    .retain(|mark| mark.uid != uid || !mark.what.is_replaced_by(&what));
                self.marks.push(Mark {
                    kind,
                    uid: uid.clone(),
                    what,
                });
            }
        }
        Ok(())
    }

    /// `kubectl scale`, which stays where the number is not the operator's.
    async fn scale(&mut self) -> Result<(), String> {
        let hpa = &self.spec["autoscaling"];
        if self.spec["replicas"].is_number() && hpa.is_null() {
            return Ok(());
        }
        let (least, most) = if hpa.is_null() {
            (0, 4)
        } else {
            (
                hpa["minReplicas"].as_i64().unwrap_or(2),
                hpa["maxReplicas"].as_i64().unwrap_or(10),
            )
        };
        // An HPA that was just made brings the number within its bounds first.
        let api = self.sandbox.api::<Deployment>();
        if !hpa.is_null() {
            found(RIGHT, "the HPA to have seen the number", || async {
                let live = api.get(&self.name).await.map_err(|e| e.to_string())?;
                let now = live.spec.and_then(|s| s.replicas).map(i64::from);
                when(now.is_some_and(|now| (least..=most).contains(&now)), now)
            })
            .await?;
        }
        let span = usize::try_from((most - least).clamp(0, 3)).unwrap();
        let count = least + i64::try_from(self.dice.below(span + 1)).unwrap();
        self.tell(format!("kubectl scale --replicas={count}"));
        let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
        api.patch_scale(&self.name, &PatchParams::default(), &patch)
            .await
            .map_err(|e| e.to_string())?;
        self.right().await?;
        let live = api.get(&self.name).await.map_err(|e| e.to_string())?;
        let now = live.spec.and_then(|s| s.replicas);
        if now.map(i64::from) == Some(count) {
            Ok(())
        } else {
            Err(format!("scaled to {count}, but the Deployment has {now:?}"))
        }
    }

    /// Waits until all children are what the operator would render.
    async fn right(&mut self) -> Result<(), String> {
        self.tell("look".to_owned());
        let api = self.sandbox.api::<McpServer>();
        found(RIGHT, "all children to be as rendered", || async {
            let server = api.get(&self.name).await.map_err(|e| e.to_string())?;
            let judged = judge(self.sandbox, &server, &self.rendered).await;
            judged.map_err(|problem| format!("{problem}\n  {}", iam_mcp_e2e::conditions::tell(&server)))
        })
        .await
    }

    async fn render(&mut self) -> Result<(), String> {
        let mut server = server(&self.name, self.spec.clone());
        server.metadata.namespace = Some(self.sandbox.namespace().to_owned());
        self.rendered = render::children(&[server])
            .await?
            .remove(&self.name)
            .unwrap_or_default();
        Ok(())
    }

    fn api(&self, kind: &str) -> &kube::Api<DynamicObject> {
        &self.kinds.iter().find(|known| known.title == kind).unwrap().api
    }

    async fn uids(&self) -> Result<Vec<(&'static str, String)>, String> {
        let mut found = Vec::new();
        for Kind {
            title: kind,
            api,
            name,
        } in &self.kinds
        {
            let live = api.get_opt(name).await.map_err(|e| e.to_string())?;
            found.extend(live.and_then(|live| live.uid()).map(|uid| (*kind, uid)));
        }
        Ok(found)
    }

    /// One of the children that exist, the Deployment more often than others.
    async fn any_child(&mut self) -> Result<Option<(&'static str, DynamicObject)>, String> {
        let mut wanted: Vec<usize> = (0..self.kinds.len())
            .filter(|index| contains(&self.rendered, self.kinds[*index].title))
            .collect();
        let deployment = self
            .kinds
            .iter()
            .position(|kind| kind.title == "Deployment")
            .unwrap();
        wanted.extend([deployment, deployment]);
        let index = *self.dice.pick(&wanted).unwrap();
        let Kind {
            title: kind,
            api,
            name,
        } = &self.kinds[index];
        Ok(api
            .get_opt(name)
            .await
            .map_err(|e| e.to_string())?
            .map(|live| (*kind, live)))
    }

    async fn any_owned(
        &mut self,
    ) -> Result<Option<(&'static str, DynamicObject, Vec<edits::Owned>)>, String> {
        let Some((kind, live)) = self.any_child().await? else {
            return Ok(None);
        };
        let json = serde_json::to_value(&live).map_err(|e| e.to_string())?;
        let rendered = self.rendered.iter().find(|child| child["kind"] == kind);
        let fields = rendered
            .map(|rendered| edits::owned(rendered, &json))
            .unwrap_or_default();
        Ok(Some((kind, live, fields)))
    }

    /// Whether the API server took it.
    async fn json_patch(
        &mut self,
        kind: &'static str,
        live: &DynamicObject,
        patch: Value,
        what: &str,
    ) -> Result<bool, String> {
        let url = self.api(kind).resource_url();
        let answer = json_patch::send(
            &self.sandbox.client,
            url,
            &live.name_any(),
            "kubectl-edit",
            &patch,
        )
        .await
        .map(drop);
        let taken = match answer {
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 409 | 422) => false,
            other => not_found_is_fine(other)?,
        };
        if taken {
            self.tell(format!("{kind}: {what}"));
        }
        Ok(taken)
    }
}

fn contains(rendered: &[Value], kind: &str) -> bool {
    rendered.iter().any(|child| child["kind"] == kind)
}

/// Whether it was there to be written.
fn not_found_is_fine(answer: kube::Result<()>) -> Result<bool, String> {
    match answer {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}
