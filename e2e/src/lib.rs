//! Tests that need a cluster.
