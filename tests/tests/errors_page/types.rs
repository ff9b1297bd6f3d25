//! The enumerations of errors: messages from `#[error(..)]`, codes and next steps from the functions that match on them.

use super::text::{self, Names, filled, strings};
use super::{Entry, Kind};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};
use syn::{Expr, ExprLit, File, Item, ItemEnum, Lit, Pat};

/// The message of an error that has none of its own.
pub(crate) const TRANSPARENT: &str = "{its cause}";

/// The code of an error that is always printed in the frame of another.
const FRAME: &str = "*its frame's*";

/// What the functions of a type say, by case; the empty case is for all.
#[derive(Default)]
struct Functions {
    /// Whether the type says a code, and a next step, at all. One that does not is only ever the cause of another.
    has_code: bool,
    has_hint: bool,
    codes: BTreeMap<String, Vec<String>>,
    hints: BTreeMap<String, Vec<String>>,
    /// Cases whose next step is that of what they carry, or is given where they arise.
    delegates: Vec<String>,
}

/// Reads all errors of these files.
pub(crate) fn read(sources: &BTreeMap<String, File>) -> Vec<Entry> {
    let constants = constants(sources);
    let mut functions: BTreeMap<String, Functions> = BTreeMap::new();
    for item in sources.values().flat_map(|file| &file.items) {
        let Item::Impl(block) = item else { continue };
        let syn::Type::Path(of) = &*block.self_ty else { continue };
        let name = of.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        for function in &block.items {
            let syn::ImplItem::Fn(function) = function else { continue };
            let told = functions.entry(name.clone()).or_default();
            match function.sig.ident.to_string().as_str() {
                "hint" | "hints" => told.read_hints(&function.block, &constants),
                "code" | "exit_code" => told.read_codes(&function.block, &constants),
                _ => {}
            }
        }
    }
    let mut entries = Vec::new();
    for (file, item) in sources.iter().flat_map(|(path, file)| file.items.iter().map(move |item| (path, item))) {
        let Item::Enum(item) = item else { continue };
        if item.attrs.iter().any(is_error_derive) {
            let empty = Functions::default();
            let told = functions.get(&item.ident.to_string()).unwrap_or(&empty);
            entries.extend(variants(item, told, file));
        }
    }
    entries
}

fn is_error_derive(attribute: &syn::Attribute) -> bool {
    let mut found = false;
    if attribute.path().is_ident("derive") {
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.segments.last().is_some_and(|segment| segment.ident == "Error");
            Ok(())
        });
    }
    found
}

fn variants(item: &ItemEnum, told: &Functions, file: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for variant in &item.variants {
        let name = variant.ident.to_string();
        let Some(attribute) = variant.attrs.iter().find(|attribute| attribute.path().is_ident("error")) else {
            continue;
        };
        let syn::Meta::List(list) = &attribute.meta else { continue };
        let mac = syn::Macro {
            path: list.path.clone(),
            bang_token: syn::token::Not::default(),
            delimiter: list.delimiter.clone(),
            tokens: list.tokens.clone(),
        };
        let message = match text::arguments(&mac).as_slice() {
            [Expr::Lit(ExprLit { lit: Lit::Str(format), .. }), rest @ ..] => filled(&format.value(), rest),
            _ => TRANSPARENT.to_owned(),
        };
        let of =
            |map: &BTreeMap<String, Vec<String>>| map.get(&name).or_else(|| map.get("")).cloned().unwrap_or_default();
        let hints = of(&told.hints);
        let by_cause = hints.is_empty() && told.delegates.contains(&name) || message == TRANSPARENT;
        let code = match told.has_code {
            true => of(&told.codes).join(", "),
            false => FRAME.to_owned(),
        };
        entries.push(Entry {
            kind: if told.has_hint { Kind::Told } else { Kind::Cause },
            code,
            message,
            hints,
            by_cause,
            place: format!("{file}: {}::{name}", item.ident),
        });
    }
    entries
}

impl Functions {
    fn read_hints(&mut self, block: &syn::Block, constants: &Names) {
        self.has_hint = true;
        for (cases, body) in arms(block) {
            let texts = strings(&body, constants);
            for case in cases {
                // `error.hint()`, or a field: somebody else says it.
                if texts.is_empty() && is_given(&body) {
                    self.delegates.push(case.clone());
                }
                let hints = self.hints.entry(case).or_default();
                hints.extend(texts.iter().filter(|text| !hints.contains(text)).cloned().collect::<Vec<_>>());
            }
        }
    }

    fn read_codes(&mut self, block: &syn::Block, constants: &Names) {
        self.has_code = true;
        for (cases, body) in arms(block) {
            let mut codes = Codes(strings(&body, constants));
            codes.visit_expr(&body);
            for case in cases {
                self.codes.entry(case).or_default().extend(codes.0.iter().cloned());
            }
        }
    }
}

/// Tells whether an expression hands on what somebody else says: a call of `hint`, `hints`, or a name.
fn is_given(body: &Expr) -> bool {
    match body {
        Expr::Return(inner) => inner.expr.as_deref().is_some_and(is_given),
        Expr::MethodCall(call) => {
            let name = call.method.to_string();
            ["hint", "hints", "clone"].contains(&name.as_str()) || is_given(&call.receiver)
        }
        Expr::Path(_) => true,
        Expr::Unary(unary) => is_given(&unary.expr),
        Expr::Call(call) => call.args.iter().any(is_given) || !call.args.is_empty(),
        Expr::Macro(mac) => text::arguments(&mac.mac).iter().any(is_given),
        Expr::Block(block) => {
            block.block.stmts.iter().any(|statement| matches!(statement, syn::Stmt::Expr(inner, _) if is_given(inner)))
        }
        Expr::Match(inner) => inner.arms.iter().all(|arm| is_given(&arm.body)),
        _ => false,
    }
}

/// Returns the arms of the first match on `self`, with the cases of each; without one, everything for every case.
fn arms(block: &syn::Block) -> Vec<(Vec<String>, Expr)> {
    let mut finder = Matches(None);
    finder.visit_block(block);
    let whole = Expr::Block(syn::ExprBlock { attrs: Vec::new(), label: None, block: block.clone() });
    let Some(found) = finder.0 else { return vec![(vec![String::new()], whole)] };
    found
        .arms
        .into_iter()
        .map(|arm| {
            let mut cases = Vec::new();
            names_of(&arm.pat, &mut cases);
            (cases, *arm.body)
        })
        .collect()
}

/// Collects the cases of a pattern; `_` is the empty name, for all that have no arm of their own.
fn names_of(pattern: &Pat, cases: &mut Vec<String>) {
    let mut path = |path: &syn::Path| cases.extend(path.segments.last().map(|segment| segment.ident.to_string()));
    match pattern {
        Pat::Or(or) => or.cases.iter().for_each(|case| names_of(case, cases)),
        Pat::Struct(inner) => path(&inner.path),
        Pat::TupleStruct(inner) => path(&inner.path),
        Pat::Path(inner) => path(&inner.path),
        Pat::Wild(_) => cases.push(String::new()),
        _ => {}
    }
}

struct Matches(Option<syn::ExprMatch>);

impl<'ast> Visit<'ast> for Matches {
    fn visit_expr_match(&mut self, found: &'ast syn::ExprMatch) {
        let on_self = matches!(&*found.expr, Expr::Path(path) if path.path.is_ident("self"))
            || matches!(&*found.expr, Expr::Unary(unary) if matches!(&*unary.expr, Expr::Path(path) if path.path.is_ident("self")));
        if self.0.is_none() && on_self {
            self.0 = Some(found.clone());
        }
        visit::visit_expr_match(self, found);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        for argument in text::arguments(mac) {
            let mut inner = Self(None);
            inner.visit_expr(&argument);
            if self.0.is_none() {
                self.0 = inner.0;
            }
        }
    }
}

/// Exit codes: `ExitCode::Key` and plain numbers.
struct Codes(Vec<String>);

impl<'ast> Visit<'ast> for Codes {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let [.., kind, name] = names.as_slice()
            && kind == "ExitCode"
        {
            self.0.push(exit_code(name));
        }
    }

    fn visit_expr_lit(&mut self, literal: &'ast ExprLit) {
        if let Lit::Int(number) = &literal.lit {
            self.0.push(number.to_string());
        }
    }
}

/// Returns `40 Key` for `Key`, as the page of exit codes has it.
pub(crate) fn exit_code(name: &str) -> String {
    let page = include_str!("../../../docs/exit-codes.md");
    let row = page
        .lines()
        .find(|line| line.split(" | ").nth(1) == Some(name))
        .unwrap_or_else(|| panic!("no exit code {name}"));
    format!("{} {name}", row.split(" | ").next().unwrap_or_default().trim_start_matches("| "))
}

/// Reads the constants that are strings.
pub(crate) fn constants(sources: &BTreeMap<String, File>) -> Names {
    let mut names = Names::new();
    for item in sources.values().flat_map(|file| &file.items) {
        if let Item::Const(constant) = item {
            let texts = strings(&constant.expr, &Names::new());
            if matches!(&*constant.expr, Expr::Lit(_)) && !texts.is_empty() {
                names.insert(constant.ident.to_string(), texts);
            }
        }
    }
    names
}
