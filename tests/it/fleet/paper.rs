//! The numbers of docs/fleet.md are those that the simulation gives.

use std::fs;

#[path = "../../../examples/fleet_paper.rs"]
mod simulation;

#[test]
fn the_page_has_the_tables_of_the_simulation() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet.md")).unwrap();
    let paper = simulation::paper(std::iter::empty()).unwrap();
    let tables: Vec<_> = paper.trim_end().split("\n\n").collect();
    assert_eq!(tables.len(), 5);
    for table in tables {
        assert!(page.contains(table), "docs/fleet.md has to have:\n{table}");
    }
}

#[test]
fn what_is_no_assumption_is_told_with_those_that_are() {
    for wrong in ["organisations=5", "organizations", "organizations=many"] {
        let error = simulation::paper(std::iter::once(wrong.to_owned())).unwrap_err();
        assert!(
            error.starts_with(wrong) && error.contains("organizations=10000"),
            "{error}"
        );
    }
}
