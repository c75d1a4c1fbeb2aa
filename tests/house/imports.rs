//! Finds the names that the files of a crate use of each other. It reads `use` declarations and paths,
//! and follows re-exports to the file that defines a name. Test modules are left out.

use crate::tree::{File, program_src};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

static DECLARATION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^ *(pub(?:\([^)]*\))? )?use ([^;]+);"));
static ITEM: LazyLock<Regex> = LazyLock::new(|| {
    let kinds = "struct|enum|trait|type|union|fn|const|static|macro_rules!";
    let before = r"(?:pub(?:\([^)]*\))? )?(?:(?:const|async|unsafe) )*";
    pattern(&format!("(?m)^{before}(?:{kinds}) ([A-Za-z_0-9]+)"))
});
static PATH: LazyLock<Regex> =
    LazyLock::new(|| pattern("[A-Za-z_][A-Za-z_0-9]*(?:::[A-Za-z_][A-Za-z_0-9]*)*"));
static TEST_FILE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"#\[cfg\(test\)\]\s*mod ([a-z_0-9]+);"));
static COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)(^|[^:])//.*$"));
/// A test module at the root of a file.
static TEST_MODULE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?ms)^#\[cfg\(test\)\]\nmod [a-z_0-9]+ \{$.*?^\}$"));

/// By the paths of two files, the names that the first uses of the second.
pub type Uses = BTreeMap<(String, String), BTreeSet<String>>;

/// A path from the root of the crate: names of modules, and then of an item.
type Route = Vec<String>;

/// A module with a file of its own.
struct Module {
    path: String,
    /// Without comments, test modules and `use` declarations.
    code: String,
    /// The route of each imported name.
    imports: HashMap<String, Route>,
    globs: Vec<Route>,
    /// Names that are imported for others (`pub use`).
    exported: BTreeSet<String>,
    items: BTreeSet<String>,
}

/// The uses among the files of one `src` folder.
pub fn uses_within(src: &str, files: &[File]) -> Uses {
    let ours =
        files.iter().filter(|file| file.is_program() && program_src(&file.path) == Some(src));
    let ours = ours.filter(|file| !file.path.ends_with("/main.rs"));
    let mut texts: BTreeMap<Route, (&str, String)> =
        ours.map(|file| (route_of(src, &file.path), (&*file.path, plain(&file.text)))).collect();
    let test_of = |(route, (_, text)): (&Route, &(&str, String))| -> Vec<Route> {
        TEST_FILE.captures_iter(text).map(|found| joined(route, &found[1])).collect()
    };
    let tests: Vec<Route> = texts.iter().flat_map(test_of).collect();
    texts.retain(|route, _| !tests.iter().any(|test| route.starts_with(test)));
    let routes: BTreeSet<Route> = texts.keys().cloned().collect();
    let modules: BTreeMap<Route, Module> = texts
        .into_iter()
        .map(|(route, (path, text))| (route.clone(), Module::read(path, &route, &text, &routes)))
        .collect();
    let mut uses = Uses::new();
    for (route, module) in &modules {
        for target in module.used_routes(route, &routes) {
            if let Some((user, name)) = definition(&modules, &target, 0)
                && user != module.path
            {
                uses.entry((module.path.clone(), user)).or_default().insert(name);
            }
        }
    }
    uses
}

impl Module {
    fn read(path: &str, route: &Route, text: &str, routes: &BTreeSet<Route>) -> Self {
        let code = DECLARATION.replace_all(text, "").into_owned();
        let mut module = Self {
            path: path.to_owned(),
            imports: HashMap::new(),
            globs: Vec::new(),
            exported: BTreeSet::new(),
            items: ITEM.captures_iter(&code).map(|found| found[1].to_owned()).collect(),
            code,
        };
        for found in DECLARATION.captures_iter(text) {
            for (target, name) in leaves(&found[2]) {
                let Some(target) = absolute(route, &target, routes) else { continue };
                if found.get(1).is_some() {
                    module.exported.insert(name.clone());
                }
                if name == "*" {
                    module.globs.push(target);
                } else {
                    module.imports.insert(name, target);
                }
            }
        }
        module
    }

    /// The routes of all that this module's own code uses.
    fn used_routes(&self, route: &Route, routes: &BTreeSet<Route>) -> Vec<Route> {
        let mut used: Vec<Route> = self
            .imports
            .iter()
            .filter(|(name, _)| !self.exported.contains(*name))
            .map(|(_, target)| target.clone())
            .collect();
        for word in PATH.find_iter(&self.code) {
            let path: Route = word.as_str().split("::").map(str::to_owned).collect();
            if let Some(target) = self.imports.get(&path[0]) {
                used.push([target, &path[1..]].concat());
            } else if path.len() > 1 {
                used.extend(absolute(route, &path, routes));
            }
        }
        used
    }
}

/// The file that defines the item of a route, and the item's name there. `None` if the route is that
/// of a module.
fn definition(
    modules: &BTreeMap<Route, Module>,
    route: &[String],
    depth: usize,
) -> Option<(String, String)> {
    let length = (0..=route.len()).rev().find(|&length| modules.contains_key(&route[..length]))?;
    let module = &modules[&route[..length]];
    let (name, rest) = route[length..].split_first()?;
    if module.items.contains(name) || depth > 12 {
        return Some((module.path.clone(), name.clone()));
    }
    if let Some(target) = module.imports.get(name) {
        return definition(modules, &[target, rest].concat(), depth + 1);
    }
    let through_globs = module.globs.iter().find_map(|glob| {
        let found = definition(modules, &joined(glob, name), depth + 4)?;
        let defines = |module: &Module| module.path == found.0 && module.items.contains(&found.1);
        modules.values().any(defines).then_some(found)
    });
    // A macro defines the name, or it is a module within the file.
    through_globs.or_else(|| Some((module.path.clone(), name.clone())))
}

/// The route of a path that is written in a module. `None` if it leads out of the crate.
fn absolute(route: &Route, path: &[String], routes: &BTreeSet<Route>) -> Option<Route> {
    let mut base = route.clone();
    let mut path = path;
    match path.first()?.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while path.get(1).is_some_and(|next| next == "super") {
                base.pop();
                path = &path[1..];
            }
            base.pop();
        }
        child => return routes.contains(&joined(&base, child)).then(|| [&base, path].concat()),
    }
    Some([&base, &path[1..]].concat())
}

/// The paths of a `use` declaration, each with the name that it gets in this module.
fn leaves(tree: &str) -> Vec<(Route, String)> {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let prefix: Route = tree[..open]
            .split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let inner = tree[open + 1..].trim_end().trim_end_matches('}');
        // All closing braces were cut off. Only the last one belongs to this level.
        let closing = tree[open + 1..].trim_end().len() - inner.len() - 1;
        let inner = format!("{inner}{}", "}".repeat(closing));
        return split_list(&inner)
            .iter()
            .flat_map(|part| leaves(part))
            .map(|(path, name)| {
                let is_self = path == ["self"];
                let path = if is_self { prefix.clone() } else { [&*prefix, &path].concat() };
                let name =
                    if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name };
                (path, name)
            })
            .collect();
    }
    if tree.is_empty() {
        return Vec::new();
    }
    let (path, name) = match tree.split_once(" as ") {
        Some((path, name)) => (path, Some(name.trim().to_owned())),
        None => (tree, None),
    };
    let path: Route = path.split("::").map(|part| part.trim().to_owned()).collect();
    let name = name.unwrap_or_else(|| path.last().cloned().unwrap_or_default());
    vec![(path, name)]
}

/// Splits at the commas that are not within braces.
fn split_list(list: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match parts.last_mut() {
            Some(part) if c != ',' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
}

fn joined(route: &[String], name: &str) -> Route {
    [route, &[name.to_owned()]].concat()
}

fn route_of(src: &str, path: &str) -> Route {
    let path = path.trim_start_matches(src).trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The code without comments and without test modules. It is formatted by rustfmt, so a module ends
/// at the first `}` with its own indentation.
fn plain(text: &str) -> String {
    COMMENT.replace_all(&TEST_MODULE.replace_all(text, ""), "$1").into_owned()
}

#[test]
fn uses_are_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("src/lib.rs", "mod a;\nmod b;\n"),
        file("src/a/mod.rs", "mod c;\npub use c::{C, D as E};\n// crate::b::No\n"),
        file(
            "src/a/c.rs",
            "use crate::b::{self, X};\npub struct C;\npub struct D;\nfn f() { b::g(X) }\n",
        ),
        file(
            "src/b.rs",
            "use crate::a;\npub struct X;\npub fn g() { a::E; super::a::C }\n\
             #[cfg(test)]\nmod test {\n    use crate::a::Z;\n}\n",
        ),
    ];
    let uses = uses_within("src/", &files);
    let found: Vec<String> =
        uses.iter().map(|((a, b), names)| format!("{a} {b} {names:?}")).collect();
    assert_eq!(found, [r#"src/a/c.rs src/b.rs {"X", "g"}"#, r#"src/b.rs src/a/c.rs {"C", "D"}"#],);
}
