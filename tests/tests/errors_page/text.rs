//! What a piece of source says to people: the strings in it, with what is filled in named in braces.

use std::collections::BTreeMap;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, ExprLit, Lit, Token};

/// The strings that names stand for, such as `let what = format!(..)` and constants.
pub(crate) type Names = BTreeMap<String, Vec<String>>;

/// Returns every string that an expression can give, in order. Strings that it only compares with are left out.
pub(crate) fn strings(expression: &Expr, names: &Names) -> Vec<String> {
    let mut found = Strings { texts: Vec::new(), names };
    found.visit_expr(expression);
    found.texts
}

/// Returns the arguments of a macro such as `format!` or `vec!`.
pub(crate) fn arguments(mac: &syn::Macro) -> Vec<Expr> {
    mac.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated)
        .map(|list| list.into_iter().collect())
        .unwrap_or_default()
}

/// Fills a format string: `{}` becomes the name of its argument.
pub(crate) fn filled(format: &str, rest: &[Expr]) -> String {
    let (mut text, mut next) = (String::new(), 0);
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                text.push(c);
            }
            '{' => {
                let inside: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let name = inside.split(':').next().unwrap_or_default();
                let positional = name.is_empty() || name.chars().all(|c| c.is_ascii_digit());
                let shown = match rest.get(name.parse().unwrap_or(next)) {
                    Some(argument) if positional => short(argument),
                    _ if positional => "what".to_owned(),
                    _ => name.to_owned(),
                };
                next += usize::from(name.is_empty());
                text.push_str(&format!("{{{shown}}}"));
            }
            c => text.push(c),
        }
    }
    text
}

/// Names an expression by the last thing in it that has a name of its own.
fn short(expression: &Expr) -> String {
    match expression {
        Expr::MethodCall(call) => short(&call.receiver),
        Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => name.to_string(),
            syn::Member::Unnamed(_) => short(&field.base),
        },
        Expr::Path(path) => path.path.segments.last().map(|s| s.ident.to_string().to_lowercase()).unwrap_or_default(),
        Expr::Reference(reference) => short(&reference.expr),
        Expr::Paren(paren) => short(&paren.expr),
        Expr::Call(call) => call.args.first().map_or_else(|| "what".to_owned(), short),
        Expr::Assign(assign) => short(&assign.right),
        Expr::Unary(unary) => short(&unary.expr),
        Expr::Macro(_) | Expr::Lit(_) | Expr::If(_) | Expr::Match(_) => "what".to_owned(),
        _ => "what".to_owned(),
    }
}

struct Strings<'a> {
    texts: Vec<String>,
    names: &'a Names,
}

impl Strings<'_> {
    fn name(&mut self, name: &str) {
        self.texts.extend(self.names.get(name).into_iter().flatten().cloned());
    }
}

impl<'ast> Visit<'ast> for Strings<'_> {
    fn visit_expr(&mut self, expression: &'ast Expr) {
        match expression {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if !text.value().is_empty() => self.texts.push(text.value()),
            Expr::Macro(mac) => {
                let arguments = arguments(&mac.mac);
                let is = |name: &str| mac.mac.path.is_ident(name);
                match (arguments.as_slice(), is("format") || is("format_args")) {
                    ([Expr::Lit(ExprLit { lit: Lit::Str(format), .. }), rest @ ..], true) => {
                        self.texts.push(filled(&format.value(), rest));
                    }
                    (all, _) if is("vec") => all.iter().for_each(|argument| self.visit_expr(argument)),
                    (all, _) if is("concat") => {
                        let pieces = all.iter().flat_map(|piece| strings(piece, self.names));
                        self.texts.push(pieces.collect());
                    }
                    _ => {}
                }
            }
            Expr::Match(inner) => inner.arms.iter().for_each(|arm| self.visit_expr(&arm.body)),
            Expr::If(inner) => {
                self.visit_block(&inner.then_branch);
                if let Some((_, other)) = &inner.else_branch {
                    self.visit_expr(other);
                }
            }
            Expr::Binary(_) => {}
            Expr::Path(path) => {
                if let Some(last) = path.path.segments.last() {
                    self.name(&last.ident.to_string());
                }
            }
            // What is called for its text, not what it is called with: `contains("x")`, `join(", ")`.
            Expr::MethodCall(call) => {
                self.visit_expr(&call.receiver);
                if ["map", "map_or", "map_or_else", "unwrap_or", "unwrap_or_else", "then", "chain", "extend", "push"]
                    .contains(&call.method.to_string().as_str())
                {
                    call.args.iter().for_each(|argument| self.visit_expr(argument));
                }
            }
            _ => visit::visit_expr(self, expression),
        }
    }
}
