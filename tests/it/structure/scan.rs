//! Rust sources, read as text: the modules of a crate, and what each imports. Nothing is compiled.
//!
//! Items under `#[cfg(test)]` are left out: tests may look anywhere. What a macro expands to is not known; the paths in
//! what it is given are.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Lit, Meta, UseTree};

/// The sources of a crate: paths below `src`, with `/`, and what stands in them.
pub(super) type Sources = BTreeMap<String, String>;

/// A module without its tests.
#[derive(Debug)]
pub(super) struct Module {
    /// Its names from the root of the crate down; none for `lib.rs`.
    pub(super) path: Vec<String>,
    /// The file it stands in.
    pub(super) file: String,
    /// The lines of its documentation, and where each stands.
    pub(super) docs: Vec<(usize, String)>,
    /// The modules that it declares, in their order.
    pub(super) children: Vec<String>,
    /// Paths that lead to the crate itself.
    pub(super) imports: Vec<Import>,
    /// Paths that lead elsewhere: to other crates, or to names that the module has.
    pub(super) others: Vec<Import>,
}

/// A path in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The names from the root down, where it leads to the crate itself; `*` for all of a module.
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// Reads every Rust file of a folder.
pub(super) fn sources(folder: &Path) -> Sources {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let rust = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs"));
    rust.map(|file| {
        let names = file.path().strip_prefix(folder).unwrap().iter();
        let name: Vec<_> = names.map(|name| name.to_str().unwrap()).collect();
        (name.join("/"), fs::read_to_string(file.path()).unwrap())
    })
    .collect()
}

/// The modules that `lib.rs` leads to, itself first.
///
/// # Errors
/// A file is missing, is no Rust, or does what is not understood here.
pub(super) fn modules(sources: &Sources) -> Result<Vec<Module>, String> {
    let mut modules = Vec::new();
    let mut queue = VecDeque::from([(Vec::new(), "lib.rs".to_owned())]);
    while let Some((path, file)) = queue.pop_front() {
        let text = sources.get(&file).ok_or_else(|| format!("src/{file} is missing"))?;
        let parsed = syn::parse_file(text).map_err(|error| format!("src/{file}: {error}"))?;
        if is_for_tests(&parsed.attrs) {
            continue;
        }
        let mut reader = Reader::new(&path, &file, &parsed.attrs);
        reader.visit_file(&parsed);
        if let Some(what) = reader.problem {
            return Err(what);
        }
        for path in reader.out_of_line {
            queue.push_back((path.clone(), file_of(sources, &path)?));
        }
        modules.extend(reader.done);
        modules.push(reader.module);
    }
    // Each module before those in it.
    modules.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(modules)
}

/// The file that `mod` leads to.
fn file_of(sources: &Sources, path: &[String]) -> Result<String, String> {
    let name = path.join("/");
    let mut candidates = [format!("{name}/mod.rs"), format!("{name}.rs")].into_iter();
    let found = candidates.find(|file| sources.contains_key(file));
    found.ok_or_else(|| {
        format!(
            "`mod {}` has no file src/{name}.rs or src/{name}/mod.rs",
            path.join("::")
        )
    })
}

/// Reads one file: its module, and those that stand inline in it.
struct Reader {
    module: Module,
    /// Inline modules that were read to their end.
    done: Vec<Module>,
    /// Paths of modules that stand in files of their own.
    out_of_line: Vec<Vec<String>>,
    /// Whether the tokens are those of an attribute, which can hold a path as a string.
    in_attribute: bool,
    problem: Option<String>,
}

impl Reader {
    fn new(path: &[String], file: &str, attributes: &[Attribute]) -> Self {
        Self {
            module: Module::new(path, file, attributes),
            done: Vec::new(),
            out_of_line: Vec::new(),
            in_attribute: false,
            problem: None,
        }
    }

    fn refuse(&mut self, line: usize, what: &str) {
        let file = &self.module.file;
        self.problem.get_or_insert(format!("src/{file}:{line}: {what}"));
    }

    /// Notes a path.
    fn note(&mut self, names: &[String], line: usize) {
        let Some((first, behind)) = names.split_first() else {
            return;
        };
        let own = &self.module.path;
        let (start, rest) = match first.as_str() {
            "crate" => (&own[..0], behind),
            "self" | "super" => {
                let rest = if first == "self" { behind } else { names };
                let up = rest.iter().take_while(|name| *name == "super").count();
                (&own[..own.len().saturating_sub(up)], &rest[up..])
            }
            _ => {
                let path = names.to_vec();
                return self.module.others.push(Import { path, line });
            }
        };
        let path = [start, rest].concat();
        self.module.imports.push(Import { path, line });
    }

    /// Notes every path of a `use`.
    fn note_use(&mut self, before: &[String], tree: &UseTree) {
        let joined = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.note_use(&joined(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_use(before, tree)),
            UseTree::Name(name) => self.note(&joined(&name.ident), line(&name.ident)),
            UseTree::Rename(rename) => self.note(&joined(&rename.ident), line(&rename.ident)),
            UseTree::Glob(glob) => {
                self.note(&[before, &["*".to_owned()]].concat(), line_of(glob.star_token.spans[0]));
            }
        }
    }

    /// Notes the paths in what a macro or an attribute is given.
    fn note_tokens(&mut self, tokens: &TokenStream) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let mut rest = &tokens[..];
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                TokenTree::Group(group) => self.note_tokens(&group.stream()),
                TokenTree::Literal(literal) if self.in_attribute => {
                    self.note_text(&literal.to_string(), literal.span())
                }
                TokenTree::Ident(ident) if ["crate", "super", "self"].iter().any(|start| ident == start) => {
                    rest = self.note_path(vec![ident.to_string()], line(ident), behind);
                }
                _ => {}
            }
        }
    }

    /// Goes on with a path whose first names are known, and gives back what stands behind it.
    fn note_path<'a>(&mut self, mut names: Vec<String>, line: usize, mut rest: &'a [TokenTree]) -> &'a [TokenTree] {
        while let [TokenTree::Punct(one), TokenTree::Punct(two), next, behind @ ..] = rest {
            if (one.as_char(), two.as_char()) != (':', ':') {
                break;
            }
            match next {
                TokenTree::Ident(name) => names.push(name.to_string()),
                TokenTree::Punct(star) if star.as_char() == '*' => names.push("*".to_owned()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                    for entry in
                        inside.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','))
                    {
                        if let Some((TokenTree::Ident(name), after)) = entry.split_first() {
                            self.note_path([&names[..], &[name.to_string()]].concat(), line, after);
                        }
                    }
                    return behind;
                }
                _ => break,
            }
            rest = behind;
        }
        // `pub(crate)` and `self.x` are no paths.
        if names.len() > 1 {
            self.note(&names, line);
        }
        rest
    }

    /// Notes the path in a string, as in `#[serde(with = "crate::time")]`.
    fn note_text(&mut self, text: &str, span: Span) {
        // Sentences are no paths.
        if !text.starts_with('"') || text.contains(' ') {
            return;
        }
        if let Ok(path) = text.trim_matches('"').parse::<TokenStream>() {
            let before = self.module.imports.len();
            self.note_tokens(&path);
            for import in &mut self.module.imports[before..] {
                import.line = line_of(span);
            }
        }
    }
}

impl Module {
    fn new(path: &[String], file: &str, attributes: &[Attribute]) -> Self {
        Self {
            path: path.to_vec(),
            file: file.to_owned(),
            docs: attributes.iter().filter_map(doc_line).collect(),
            children: Vec::new(),
            imports: Vec::new(),
            others: Vec::new(),
        }
    }
}

/// Visits these unless they are for tests alone.
macro_rules! without_tests {
    ($($visit:ident: $node:ident),* $(,)?) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            if !is_for_tests(&node.attrs) {
                visit::$visit(self, node);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Reader {
    without_tests! {
        visit_item_const: ItemConst, visit_item_enum: ItemEnum, visit_item_fn: ItemFn,
        visit_item_foreign_mod: ItemForeignMod, visit_item_impl: ItemImpl, visit_item_macro: ItemMacro,
        visit_item_static: ItemStatic, visit_item_struct: ItemStruct, visit_item_trait: ItemTrait,
        visit_item_type: ItemType, visit_item_union: ItemUnion, visit_impl_item_const: ImplItemConst,
        visit_impl_item_fn: ImplItemFn, visit_impl_item_macro: ImplItemMacro, visit_impl_item_type: ImplItemType,
        visit_trait_item_const: TraitItemConst, visit_trait_item_fn: TraitItemFn, visit_field: Field,
        visit_variant: Variant, visit_arm: Arm, visit_field_value: FieldValue, visit_local: Local,
        visit_stmt_macro: StmtMacro, visit_expr_block: ExprBlock,
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if is_for_tests(&node.attrs) {
            return;
        }
        let name = node.ident.to_string();
        let path = [&self.module.path[..], std::slice::from_ref(&name)].concat();
        self.module.children.push(name);
        if node.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            self.refuse(
                line(&node.ident),
                "a module's file must have its name: `#[path]` is not read here",
            );
        } else if node.content.is_none() {
            self.out_of_line.push(path);
        } else {
            let inner = Module::new(&path, &self.module.file, &node.attrs);
            let outer = std::mem::replace(&mut self.module, inner);
            visit::visit_item_mod(self, node);
            self.done.push(std::mem::replace(&mut self.module, outer));
        }
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        if !is_for_tests(&node.attrs) {
            self.note_use(&[], &node.tree);
        }
    }

    fn visit_item_extern_crate(&mut self, node: &'ast syn::ItemExternCrate) {
        if node.ident == "self" {
            self.refuse(
                line(&node.ident),
                "the crate must be called `crate` in itself: nothing else is read here",
            );
        }
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        if let Some(first) = node.segments.first().filter(|_| node.segments.len() > 1) {
            let names: Vec<_> = node.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&names, line(&first.ident));
        }
        visit::visit_path(self, node);
    }

    /// `pub(in crate::x)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, node: &'ast Attribute) {
        if !node.path().is_ident("doc") && !has_test_condition(node, "cfg_attr") {
            self.in_attribute = true;
            visit::visit_attribute(self, node);
            self.in_attribute = false;
        }
    }

    fn visit_lit_str(&mut self, node: &'ast syn::LitStr) {
        if self.in_attribute {
            self.note_text(&format!("\"{}\"", node.value()), node.span());
        }
    }

    fn visit_token_stream(&mut self, node: &'ast TokenStream) {
        self.note_tokens(node);
    }
}

fn line(ident: &Ident) -> usize {
    line_of(ident.span())
}

fn line_of(span: Span) -> usize {
    span.start().line
}

/// The place and the text of one `//!` or `///`.
fn doc_line(attribute: &Attribute) -> Option<(usize, String)> {
    let Meta::NameValue(doc) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(literal) = &doc.value else { return None };
    match &literal.lit {
        Lit::Str(text) if doc.path.is_ident("doc") => Some((line_of(text.span()), text.value().trim().to_owned())),
        _ => None,
    }
}

/// Whether one of these is `cfg(test)` or `cfg(all(test, …))`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| has_test_condition(attribute, "cfg"))
}

/// Whether an attribute is `name(test, …)`, or that with `all(test, …)`.
fn has_test_condition(attribute: &Attribute, name: &str) -> bool {
    match &attribute.meta {
        Meta::List(list) => list.path.is_ident(name) && needs_test(&list.tokens),
        _ => false,
    }
}

/// Whether a condition holds in tests alone.
fn needs_test(condition: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.clone().into_iter().take(2).collect();
    match &tokens[..] {
        [TokenTree::Ident(all), TokenTree::Group(conditions)] if all == "all" => {
            let conditions: Vec<TokenTree> = conditions.stream().into_iter().collect();
            let mut conditions =
                conditions.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
            conditions.any(|condition| needs_test(&condition.iter().cloned().collect()))
        }
        [TokenTree::Ident(name), ..] => name == "test",
        _ => false,
    }
}
