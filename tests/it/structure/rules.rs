//! The rules of the modules' order, and what breaks them.
//!
//! - A module imports only from those above it in `lib.rs`.
//! - The first lines of a top-level module say what it imports, `//! Imports: json, window.` or `//! Imports: nothing.`,
//!   and where only some may import it, `//! Imported by: commands::demo.`, which with the modules in it are then the
//!   only ones. The code does exactly this.
//! - A module that says [`IN_ORDER`] keeps the same order among the modules in it.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::{Import, Module};

/// Says that the modules of a folder stand in order.
pub(super) const IN_ORDER: &str = "Below, a module imports only from those above it";

/// Of a module's documentation, the lines that must say what it imports.
const FIRST_LINES: usize = 8;

/// One top-level module imports another.
struct Arrow<'a> {
    /// Where the import stands.
    module: &'a Module,
    import: &'a Import,
    from: &'a str,
    to: &'a str,
}

/// What breaks the rules: the file, the line, what is wrong and what to do.
pub(super) fn violations(modules: &[Module]) -> Vec<String> {
    let Some(root) = modules.iter().find(|module| module.path.is_empty()) else {
        return vec!["src/lib.rs is missing".to_owned()];
    };
    let mut found = unknown_names(modules, &root.children);
    let arrows = arrows(modules, &root.children);
    found.extend(out_of_order(&arrows, &root.children));
    let top_level = |name: &String| modules.iter().find(|module| module.path == [name.as_str()]);
    for module in root.children.iter().filter_map(top_level) {
        found.extend(wrong_imports_line(module, &arrows));
        found.extend(wrong_importers(module, &arrows));
    }
    for folder in modules.iter().filter(|module| says_in_order(module)) {
        found.extend(out_of_order_in(folder, modules));
    }
    // One `use` can name several things of one module.
    found.dedup();
    found
}

/// The file and the line of an import.
fn place(module: &Module, import: &Import) -> String {
    format!("src/{}:{}", module.file, import.line)
}

/// Each import of one top-level module by another.
fn arrows<'a>(modules: &'a [Module], order: &'a [String]) -> Vec<Arrow<'a>> {
    let mut arrows = Vec::new();
    for module in modules {
        for import in &module.imports {
            let from = module.path.first();
            let to = import.path.first().filter(|name| order.contains(name));
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                arrows.push(Arrow {
                    module,
                    import,
                    from,
                    to,
                });
            }
        }
    }
    arrows
}

/// Imports from the root of the crate that name none of its modules: what they lead to cannot be told.
fn unknown_names(modules: &[Module], order: &[String]) -> Vec<String> {
    let imports = modules
        .iter()
        .filter(|module| !module.path.is_empty())
        .flat_map(|module| module.imports.iter().map(move |import| (module, import)));
    let unknown = imports.filter(|(_, import)| import.path.first().is_none_or(|name| !order.contains(name)));
    unknown
        .map(|(module, import)| {
            format!(
                "{}: `crate::{}` names no module of src/lib.rs: import from a module, by its name",
                place(module, import),
                import.path.join("::")
            )
        })
        .collect()
}

/// Imports of a module by one that stands above it.
fn out_of_order(arrows: &[Arrow<'_>], order: &[String]) -> Vec<String> {
    let rank = |name: &str| order.iter().position(|listed| listed == name);
    let upward = arrows.iter().filter(|arrow| rank(arrow.to) > rank(arrow.from));
    upward
        .map(|arrow| {
            let Arrow {
                module,
                import,
                from,
                to,
            } = arrow;
            let advice = match way(arrows, to, from) {
                Some(way) => format!(
                    "a circle, as {}: move what both need into a module above both",
                    way.join(" → ")
                ),
                None => format!("it stands below: put `{to}` above `{from}` in src/lib.rs"),
            };
            format!("{}: `{from}` imports `{to}`; {advice}", place(module, import))
        })
        .collect()
}

/// The modules on the way from one to another, along the arrows.
fn way<'a>(arrows: &[Arrow<'a>], from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut before = BTreeMap::from([(from, from)]);
    let mut queue = vec![from];
    while let Some(name) = queue.pop() {
        for arrow in arrows.iter().filter(|arrow| arrow.from == name) {
            if !before.contains_key(arrow.to) {
                before.insert(arrow.to, name);
                queue.push(arrow.to);
            }
        }
    }
    let (last, _) = before.get_key_value(to)?;
    let mut way = vec![*last];
    while way[0] != from {
        way.insert(0, before[way[0]]);
    }
    Some(way)
}

/// What a line such as `Imports: json, window.` in the first lines lists, and where it stands.
fn listed<'a>(module: &'a Module, label: &str) -> Option<(usize, BTreeSet<&'a str>)> {
    let first_lines = &module.docs[..module.docs.len().min(FIRST_LINES)];
    let start = first_lines.iter().position(|(_, line)| line.starts_with(label))?;
    let mut names = BTreeSet::new();
    for (index, (_, line)) in module.docs[start..].iter().enumerate() {
        let list = if index == 0 { &line[label.len()..] } else { line };
        names.extend(
            list.trim_end_matches('.')
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty()),
        );
        if list.ends_with('.') {
            names.remove("nothing");
            return Some((module.docs[start].0, names));
        }
    }
    None
}

/// Differences between the `Imports:` line of a module and its code.
fn wrong_imports_line(module: &Module, arrows: &[Arrow<'_>]) -> Vec<String> {
    let name = &module.path[0];
    let own: Vec<_> = arrows.iter().filter(|arrow| arrow.from == name).collect();
    let imported: BTreeSet<_> = own.iter().map(|arrow| arrow.to).collect();
    let Some((line, listed)) = listed(module, "Imports:") else {
        let names: Vec<_> = imported.into_iter().collect();
        let list = if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        };
        let file = &module.file;
        return vec![format!(
            "src/{file}:1: its first lines do not say what `{name}` imports: add `//! Imports: {list}.`"
        )];
    };
    let first_import = |to: &&str| own.iter().find(|arrow| arrow.to == *to);
    let undeclared = imported.difference(&listed).filter_map(first_import).map(|arrow| {
        format!(
            "{}: `{name}` imports `{}`, which the `Imports:` line of src/{} does not name: do without it, or add it there",
            place(arrow.module, arrow.import),
            arrow.to,
            module.file
        )
    });
    let unused = listed.difference(&imported).map(|to| {
        format!(
            "src/{}:{line}: `{name}` does not import `{to}`: take it out of the `Imports:` line",
            module.file
        )
    });
    undeclared.chain(unused).collect()
}

/// Imports of a module by others than those that its `Imported by:` line names, and names there that do not import it.
fn wrong_importers(module: &Module, arrows: &[Arrow<'_>]) -> Vec<String> {
    let Some((line, listed)) = listed(module, "Imported by:") else {
        return Vec::new();
    };
    let name = &module.path[0];
    let own: Vec<_> = arrows.iter().filter(|arrow| arrow.to == name).collect();
    let strangers = own
        .iter()
        .filter(|arrow| !listed.iter().any(|chosen| is_in(arrow.module, chosen)));
    let strangers = strangers.map(|arrow| {
        format!(
            "{}: `{}` imports `{name}`, which the `Imported by:` line of src/{} does not allow: do without it",
            place(arrow.module, arrow.import),
            arrow.module.path.join("::"),
            module.file
        )
    });
    let idle = listed
        .iter()
        .filter(|chosen| !own.iter().any(|arrow| is_in(arrow.module, chosen)));
    let idle = idle.map(|chosen| {
        format!(
            "src/{}:{line}: `{chosen}` does not import `{name}`: take it out of the `Imported by:` line",
            module.file
        )
    });
    strangers.chain(idle).collect()
}

/// Whether a module is the one with this name, or in it.
fn is_in(module: &Module, name: &str) -> bool {
    let mut own = module.path.iter();
    name.split("::").all(|part| own.next().is_some_and(|own| own == part))
}

/// Uses of a crate, or of a function such as `Utc::now`, outside of the modules that alone may know it.
pub(super) fn strangers(modules: &[Module], name: &str, owners: &[&str]) -> Vec<String> {
    let names: Vec<_> = name.split("::").map(str::to_owned).collect();
    let others = modules
        .iter()
        .filter(|module| !owners.iter().any(|owner| is_in(module, owner)));
    let uses = others.flat_map(|module| module.others.iter().map(move |path| (module, path)));
    let is_meant = |path: &[String]| match names.len() {
        1 => path.starts_with(&names),
        _ => path.ends_with(&names),
    };
    let found = uses.filter(|(_, path)| is_meant(&path.path));
    found
        .map(|(module, path)| format!("{}: only {} may use `{name}`", place(module, path), owners.join(", ")))
        .collect()
}

fn says_in_order(module: &Module) -> bool {
    let lines: Vec<_> = module.docs.iter().map(|(_, line)| line.as_str()).collect();
    lines.join(" ").contains(IN_ORDER)
}

/// Imports inside a folder of a module by one that stands above it, or of the folder itself, which imports them all.
fn out_of_order_in(folder: &Module, modules: &[Module]) -> Vec<String> {
    let depth = folder.path.len();
    let rank = |name: &String| folder.children.iter().position(|listed| listed == name);
    let mut found = Vec::new();
    let inside = modules
        .iter()
        .filter(|module| module.path.len() > depth && module.path.starts_with(&folder.path));
    for module in inside {
        let own = rank(&module.path[depth]);
        for import in module
            .imports
            .iter()
            .filter(|import| import.path.starts_with(&folder.path))
        {
            let target = import.path.get(depth).and_then(rank);
            if target.is_none() || target > own {
                found.push(format!(
                    "{}: `{}` imports `{}`, which stands below it in src/{}: {IN_ORDER}",
                    place(module, import),
                    module.path.join("::"),
                    import.path.join("::"),
                    folder.file
                ));
            }
        }
    }
    found
}
