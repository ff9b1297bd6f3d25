//! Errors that are made where they arise: `CommandError::new(code, message).hint(step)`, and cases that carry a `hint`.

use super::text::{Names, strings};
use super::types::{constants, exit_code};
use super::{Entry, Kind};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};
use syn::{Expr, File};

/// Reads all of them.
pub(crate) fn read(sources: &BTreeMap<String, File>) -> Vec<Entry> {
    let constants = constants(sources);
    let mut entries = Vec::new();
    for (path, file) in sources {
        let mut sites = Sites { path, names: constants.clone(), entries: Vec::new() };
        sites.visit_file(file);
        entries.extend(sites.entries);
    }
    entries
}

struct Sites<'a> {
    path: &'a str,
    /// Strings of constants and of the `let` of this function.
    names: Names,
    entries: Vec<Entry>,
}

impl Sites<'_> {
    fn made(&mut self, call: &syn::ExprCall, hints: Vec<String>, has_hint: bool) {
        let code = match call.args.first() {
            Some(Expr::Path(code)) if code.path.segments.len() > 1 => {
                code.path.segments.last().map(|segment| exit_code(&segment.ident.to_string())).unwrap_or_default()
            }
            _ => String::new(),
        };
        let message = call.args.get(1).map(|message| strings(message, &self.names)).unwrap_or_default();
        let message = if message.is_empty() { vec![super::types::TRANSPARENT.to_owned()] } else { message };
        for message in message {
            let by_cause = code.is_empty() || (hints.is_empty() && has_hint);
            let kind = Kind::Told;
            self.entries.push(Entry {
                kind,
                code: code.clone(),
                message,
                hints: hints.clone(),
                by_cause,
                place: self.path.to_owned(),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Sites<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let (syn::Pat::Ident(name), Some(init)) = (&local.pat, &local.init) {
            let texts = strings(&init.expr, &self.names);
            self.names.insert(name.ident.to_string(), texts);
        }
        visit::visit_local(self, local);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let before = self.names.clone();
        visit::visit_item_fn(self, function);
        self.names = before;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let before = self.names.clone();
        visit::visit_impl_item_fn(self, function);
        self.names = before;
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        // From the outside to the inside: the last `hint` first.
        let (mut hints, mut has_hint, mut inner) = (Vec::new(), false, call);
        loop {
            if inner.method == "hint" {
                has_hint = true;
                let texts = inner.args.first().map(|hint| strings(hint, &self.names)).unwrap_or_default();
                hints.splice(0..0, texts);
            }
            match &*inner.receiver {
                Expr::MethodCall(next) => inner = next,
                Expr::Call(made) if is_new(made) => {
                    self.made(made, hints, has_hint);
                    made.args.iter().for_each(|argument| self.visit_expr(argument));
                    call.args.iter().for_each(|argument| self.visit_expr(argument));
                    return;
                }
                _ => return visit::visit_expr_method_call(self, call),
            }
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if is_new(call) {
            self.made(call, Vec::new(), false);
        }
        visit::visit_expr_call(self, call);
    }

    /// `Error::Usage { problem: .., hint: .. }`.
    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        let of = |name: &str| {
            let field = made.fields.iter().find(|field| matches!(&field.member, syn::Member::Named(it) if it == name));
            field.map(|field| strings(&field.expr, &self.names)).unwrap_or_default()
        };
        let (problem, hints) = (of("problem"), of("hint"));
        if !hints.is_empty() {
            for message in problem {
                let (code, place) = (self.code_of(made), self.path.to_owned());
                self.entries.push(Entry {
                    kind: Kind::Told,
                    code,
                    message,
                    hints: hints.clone(),
                    by_cause: false,
                    place,
                });
            }
        }
        visit::visit_expr_struct(self, made);
    }
}

impl Sites<'_> {
    /// The cases that carry a hint end with the code of their case.
    fn code_of(&self, made: &syn::ExprStruct) -> String {
        match made.path.segments.last().map(|segment| segment.ident.to_string()).as_deref() {
            Some("Usage") => "usage, 2".to_owned(),
            Some("Refused") => "refused, 75".to_owned(),
            _ => String::new(),
        }
    }
}

fn is_new(call: &syn::ExprCall) -> bool {
    let Expr::Path(path) = &*call.func else { return false };
    let names: Vec<_> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    matches!(names.as_slice(), [.., kind, name] if kind == "CommandError" && name == "new")
}
