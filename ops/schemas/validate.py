"""Validates the objects of a YAML stream against Kubernetes' schemas, strictly, in one process."""

import copy
import functools
import sys
from collections import Counter

import yaml
from kubernetes_validate import utils

# That of the API types that the operator is built with.
VERSION = "1.35"
# Kinds that are not Kubernetes' own: the API server validates them, in the reconcile tests.
FOREIGN = {"HTTPRoute", "PodMonitor"}
# Problems that are told one by one.
TOLD = 20

# As it stands it reads the schemas, some megabytes, for each object.
utils.schema_contents = functools.cache(utils.schema_contents)


def problem(child: dict) -> str | None:
    """What is wrong with it, if anything."""
    try:
        utils.validate(child, VERSION, strict=True)
    except utils.ValidationError as error:
        return f"{'.'.join(str(step) for step in error.absolute_path)}: {error.message[:300]}"
    return None


def control(child: dict) -> None:
    """The judge can say no: to a field that nobody knows, and to a value of another type."""
    unknown, mistyped = copy.deepcopy(child), copy.deepcopy(child)
    unknown["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    mistyped["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "soon"
    for bad in (unknown, mistyped):
        if problem(bad) is None:
            sys.exit("schemas: FAILED: the schemas refuse nothing")


def main() -> None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with open(sys.argv[1], encoding="utf-8") as stream:
        children = [child for child in yaml.load_all(stream, Loader=loader) if child]
    own = [child for child in children if child["kind"] not in FOREIGN]
    kinds = Counter(child["kind"] for child in own)
    if not kinds["Deployment"]:
        sys.exit("schemas: FAILED: no Deployment was rendered")
    control(next(child for child in own if child["kind"] == "Deployment"))
    problems = []
    for child in own:
        found = problem(child)
        if found:
            problems.append(f"{child['kind']}/{child['metadata']['name']}: {found}")
    for line in problems[:TOLD]:
        print(line)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    outcome = f"{len(own)} objects of Kubernetes {VERSION} validated strictly, {len(problems)} not valid"
    print(f"({told}; {len(children) - len(own)} of other APIs not among them)")
    print(f"schemas: {'FAILED' if problems else 'passed'}: {outcome}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
