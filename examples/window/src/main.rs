//! A program with a window that shows what is new and asks: update and restart, later, or skip this version.
//!
//! The updater blocks, so it works in a thread of its own; the window and the thread talk through channels. Copy this. The
//! rest of the work is `cargo updater init` once and `cargo updater publish` per release.

mod skipped;
mod worker;

use eframe::egui;
use worker::{Ask, Tell, Worker};

fn main() -> eframe::Result {
    // First line, before any window: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    let viewport = egui::ViewportBuilder::default()
        .with_inner_size([640.0, 420.0])
        .with_title(concat!("Window ", env!("CARGO_PKG_VERSION")));
    let options = eframe::NativeOptions { viewport, ..eframe::NativeOptions::default() };
    let app = move |context: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let repaint = context.egui_ctx.clone();
        let worker = Worker::start(updater, move || repaint.request_repaint());
        Ok(Box::new(Window { worker, offer: Offer::None, note: String::new() }))
    };
    eframe::run_native("window", options, Box::new(app))
}

/// What the window shows.
struct Window {
    worker: Worker,
    offer: Offer,
    /// One line at the bottom: why there is no update, or why it failed.
    note: String,
}

/// What becomes of an update.
enum Offer {
    /// There is none, or it was put off.
    None,
    /// It waits for an answer.
    Asked(worker::Found),
    /// It is under way: what is being done, and which part of it is.
    Running(&'static str, f32),
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        while let Some(told) = self.worker.told() {
            match told {
                Tell::Found(found) => (self.offer, self.note) = (Offer::Asked(found), String::new()),
                Tell::Progress(what, part) => self.offer = Offer::Running(what, part),
                Tell::Note(note) => (self.offer, self.note) = (Offer::None, note),
                // The window is closed first: the new version opens its own.
                Tell::Installed => ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close),
            }
        }
        egui::Panel::bottom("note").show(ui, |ui| {
            ui.horizontal(|ui| {
                if ui.button("Look for updates").clicked() {
                    self.note = "Looking for updates ...".to_owned();
                    self.worker.ask(Ask::Look);
                }
                ui.label(&self.note);
            });
        });
        egui::CentralPanel::default().show(ui, |ui| {
            ui.heading("Window");
            ui.label(format!("This is version {}. The app would be here.", env!("CARGO_PKG_VERSION")));
            self.dialog(ui);
        });
    }

    /// After the window has gone, so that nothing of it is lost by the restart.
    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        if let Err(error) = self.worker.restart() {
            eprintln!("window: {error}");
        }
    }
}

impl Window {
    /// Shows the dialog over the app while there is something to ask or to show.
    fn dialog(&mut self, ui: &mut egui::Ui) {
        let mut answer = None;
        let dialog = egui::Window::new("Update").collapsible(false).resizable(false);
        let dialog = dialog.anchor(egui::Align2::CENTER_CENTER, [0.0, 0.0]).default_width(420.0);
        match &self.offer {
            Offer::None => {}
            Offer::Running(what, part) => {
                dialog.show(ui.ctx(), |ui| {
                    ui.label(*what);
                    ui.add(egui::ProgressBar::new(*part).show_percentage());
                });
            }
            Offer::Asked(found) => {
                dialog.show(ui.ctx(), |ui| {
                    ui.strong(format!("Version {} is available.", found.version));
                    ui.label(format!("You have {}. {} to download.", found.from, found.size()));
                    if found.is_urgent {
                        ui.colored_label(ui.visuals().warn_fg_color, "Its publisher wants nobody to stay with the version that you have.");
                    }
                    ui.separator();
                    egui::ScrollArea::vertical().max_height(140.0).show(ui, |ui| {
                        ui.set_min_width(400.0);
                        ui.label(if found.notes.is_empty() { "No release notes." } else { &found.notes });
                    });
                    ui.separator();
                    ui.horizontal(|ui| {
                        let main = egui::Button::new("Update and restart").fill(ui.visuals().selection.bg_fill);
                        if ui.add(main).clicked() {
                            answer = Some(Ask::Update);
                        }
                        if ui.button("Later").clicked() {
                            answer = Some(Ask::Later);
                        }
                        // What the publisher has withdrawn cannot be kept for good.
                        if !found.is_urgent && ui.button("Skip this version").clicked() {
                            answer = Some(Ask::Skip);
                        }
                    });
                });
            }
        }
        if let Some(answer) = answer {
            self.offer = match answer {
                Ask::Update => Offer::Running("Starting", 0.0),
                _ => Offer::None,
            };
            self.worker.ask(answer);
        }
    }
}
