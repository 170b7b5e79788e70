//! A person labels: texts, journal, learner and agent together.

use std::collections::HashMap;
use std::sync::Arc;

use super::chooser::Chooser;
use super::expectations::Expectations;
use super::journal::{Entry, Journal, JournalError, Outcome};
use super::learner::Learner;
use super::pool::Pool;
use super::stopping::Stability;
use super::strategy::Strategy;
use crate::matrix::Matrix;
use crate::random::Random;

/// What a session is about.
pub struct SessionOptions {
    /// Names of the classes that are known from the start; others may come.
    pub classes: Vec<String>,
    /// Vectors of texts that describe these classes, `[names, width]`, and the class of each; none
    /// if nothing is to be expected from names.
    pub names: Option<(Matrix, Vec<usize>)>,
    /// Who chooses.
    pub chooser: Chooser,
    /// Of everything random.
    pub seed: u64,
}

/// The text that is shown, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Place among the texts.
    pub text: usize,
    /// What chose it.
    pub strategy: Strategy,
    /// The model's guess, a class, and its probability; none before anything is known.
    pub guess: Option<(usize, f32)>,
}

/// Labelling in progress. Every answer is in the journal before it counts.
pub struct Session {
    texts: Vec<String>,
    places: HashMap<String, usize>,
    pool: Arc<Pool>,
    expected: Option<Matrix>,
    given_classes: usize,
    classes: Vec<String>,
    learner: Learner,
    journal: Journal,
    chooser: Chooser,
    seed: u64,
    /// What this session did, for undo.
    done: Vec<usize>,
    stability: Stability,
}

impl Session {
    /// Takes up where the journal ends.
    ///
    /// # Shapes
    /// `vectors` is `[texts, width]`; texts are distinct and hold all texts of the journal.
    ///
    /// # Panics
    /// If there is not one vector a text.
    #[must_use]
    pub fn new(
        texts: Vec<String>,
        vectors: &Matrix,
        journal: Journal,
        options: SessionOptions,
    ) -> Self {
        assert_eq!(texts.len(), vectors.rows(), "one vector a text");
        let pool = Arc::new(Pool::new(vectors));
        let ways = options.classes.len();
        let expected = options.names.map(|(names, classes)| {
            Expectations::new(&pool, &names, &classes, ways).of_pool(&pool)
        });
        let places = texts
            .iter()
            .enumerate()
            .map(|(at, text)| (text.clone(), at))
            .collect();
        let mut session = Self {
            learner: Learner::new(Arc::clone(&pool)),
            given_classes: ways,
            classes: options.classes,
            chooser: options.chooser,
            seed: options.seed,
            done: Vec::new(),
            stability: Stability::default(),
            texts,
            places,
            pool,
            expected,
            journal,
        };
        session.relearn(false);
        session
    }

    /// Learns everything anew from the journal; texts skipped before this session are asked again.
    fn relearn(&mut self, keep_skipped: bool) {
        self.learner = match &self.expected {
            Some(expected) => Learner::informed(Arc::clone(&self.pool), expected.clone()),
            None => Learner::new(Arc::clone(&self.pool)),
        };
        self.classes.truncate(self.given_classes);
        while self.learner.classes() < self.classes.len() {
            self.learner.add_class();
        }
        let current: Vec<Entry> = self.journal.current().into_iter().cloned().collect();
        let mut answers = Vec::new();
        for entry in current {
            let Some(&text) = self.places.get(&entry.text) else {
                continue;
            };
            match (entry.journal, entry.label) {
                (Outcome::Answer, Some(label)) => answers.push((text, self.class_of(&label))),
                (Outcome::Unsure, _) => self.learner.withdraw(text),
                (Outcome::Skip, _) if keep_skipped => self.learner.withdraw(text),
                _ => {}
            }
        }
        self.learn(&answers);
    }

    /// Learns the answers, with a stop at each model that the stopping rule compares, so that it
    /// judges as if there had been no break and no answer that was taken back.
    fn learn(&mut self, answers: &[(usize, usize)]) {
        self.stability = Stability::default();
        let mut known = 0;
        for labels in Stability::compared(answers.len()) {
            self.learner.answer_all(&answers[known..labels]);
            self.stability.observe(labels, &self.learner.predictions());
            known = labels;
        }
        self.learner.answer_all(&answers[known..]);
    }

    /// The index of a class; a new one if there is none of that name.
    fn class_of(&mut self, label: &str) -> usize {
        let label = label.trim();
        self.classes
            .iter()
            .position(|known| known == label)
            .unwrap_or_else(|| {
                self.classes.push(label.to_owned());
                self.learner.add_class()
            })
    }

    /// The texts.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Names of the classes, in the order of their keys.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The labels so far and what follows from them.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Whether predictions have stopped changing; see [`Stability`].
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.stability.is_stable()
    }

    /// Of the answered texts that others can judge, how many the others classify rightly, and how
    /// many there are: accuracy by leave-one-out. Texts were chosen because they tell much, so it is
    /// lower than that of ordinary texts as a rule.
    #[must_use]
    pub fn leave_one_out(&self) -> (usize, usize) {
        let given = self.learner.leave_one_out();
        let judged = given
            .iter()
            .zip(self.learner.answers())
            .filter_map(|(given, (_, class))| given.map(|given| given == *class));
        judged.fold((0, 0), |(right, all), is_right| {
            (right + usize::from(is_right), all + 1)
        })
    }

    /// The next text; `None` if none is left. The same until something is answered.
    #[must_use]
    pub fn question(&mut self) -> Option<Question> {
        // Drawn for the number of answers, so that going on later asks what it would have asked.
        let answers = self.learner.answers().len();
        let mut random = Random::named(self.seed, &format!("question {answers}"));
        let strategy = self.chooser.strategy(&self.learner, &mut random);
        let text = self.learner.choose(strategy, &mut random)?;
        let probabilities = self.learner.probabilities(text);
        let best = crate::softmax::argmax(&probabilities);
        let guess = probabilities
            .get(best)
            .map(|&probability| (best, probability));
        Some(Question {
            text,
            strategy,
            guess,
        })
    }

    /// Takes an answer: the class of that name, a new one if there is none.
    ///
    /// # Errors
    /// If the journal cannot be written; nothing has changed then.
    pub fn answer(&mut self, question: &Question, label: &str) -> Result<(), JournalError> {
        self.write(question, Some(label.trim()), Outcome::Answer)?;
        let class = self.class_of(label);
        self.learner.answer(question.text, class);
        self.done.push(question.text);
        let predictions = self.learner.predictions();
        self.stability
            .observe(self.learner.answers().len(), &predictions);
        Ok(())
    }

    /// Takes note that a text got no label.
    ///
    /// # Errors
    /// As [`Session::answer`].
    pub fn pass(&mut self, question: &Question, outcome: Outcome) -> Result<(), JournalError> {
        self.write(question, None, outcome)?;
        self.learner.withdraw(question.text);
        self.done.push(question.text);
        Ok(())
    }

    /// Takes back what was done last in this session, and gives the text; `None` if there is
    /// nothing.
    ///
    /// # Errors
    /// As [`Session::answer`].
    pub fn undo(&mut self) -> Result<Option<usize>, JournalError> {
        let Some(text) = self.done.pop() else {
            return Ok(None);
        };
        let entry = Entry {
            text: self.texts[text].clone(),
            journal: Outcome::Undo,
            ..Entry::default()
        };
        if let Err(error) = self.journal.append(entry) {
            self.done.push(text);
            return Err(error);
        }
        self.relearn(true);
        Ok(Some(text))
    }

    fn write(
        &mut self,
        question: &Question,
        label: Option<&str>,
        journal: Outcome,
    ) -> Result<(), JournalError> {
        let guess = question
            .guess
            .and_then(|(class, _)| self.classes.get(class).cloned());
        let number = self.learner.answers().len() + 1;
        self.journal.append(Entry {
            text: self.texts[question.text].clone(),
            label: label.map(str::to_owned),
            journal,
            number: label.map(|_| number),
            strategy: Some(question.strategy.name().to_owned()),
            probability: question
                .guess
                .map(|(_, p)| (p * 1e4).round() / 1e4)
                .filter(|_| guess.is_some()),
            guess,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of texts around the axes; the group is the first letter.
    fn texts() -> (Vec<String>, Matrix) {
        let mut random = Random::new(4);
        let texts: Vec<String> = (0..30)
            .map(|at| format!("{} {at}", ["x", "y", "z"][at % 3]))
            .collect();
        let row = |at: usize| -> Vec<f32> {
            (0..6)
                .map(|axis| f32::from(u8::from(axis == at % 3)) + 0.2 * random.normal())
                .collect()
        };
        let rows: Vec<Vec<f32>> = (0..30).map(row).collect();
        (texts, Matrix::from_rows(&rows).expect("rows"))
    }

    fn session(path: &std::path::Path, classes: &[&str]) -> Session {
        let (texts, vectors) = texts();
        let options = SessionOptions {
            classes: classes.iter().map(ToString::to_string).collect(),
            names: None,
            chooser: "q-learning".parse().expect("known"),
            seed: 1,
        };
        Session::new(
            texts,
            &vectors,
            Journal::open(path).expect("journal"),
            options,
        )
    }

    fn truth(session: &Session, question: &Question) -> String {
        session.texts()[question.text][..1].to_owned()
    }

    #[test]
    fn going_on_later_asks_what_would_have_been_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let asked = |path: &std::path::Path, restart_at: Option<usize>| -> Vec<usize> {
            let mut session_now = session(path, &[]);
            let mut asked = Vec::new();
            for at in 0..9 {
                if restart_at == Some(at) {
                    drop(session_now);
                    session_now = session(path, &[]);
                }
                let question = session_now.question().expect("texts are left");
                asked.push(question.text);
                let label = truth(&session_now, &question);
                session_now.answer(&question, &label).expect("written");
            }
            asked
        };
        let straight = asked(&folder.path().join("a.jsonl"), None);
        assert_eq!(straight, asked(&folder.path().join("b.jsonl"), Some(5)));
        let mut distinct = straight.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), straight.len());
    }

    /// Whether predictions are stable is known after a break, and answers given over and over are no
    /// sign of it.
    #[test]
    fn stability_depends_on_the_answers_that_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j.jsonl");
        let mut now = session(&path, &["x", "y", "z"]);
        let mut stable_from = None;
        for at in 1..=25 {
            let question = now.question().expect("a text");
            let label = truth(&now, &question);
            for _ in 0..3 {
                now.answer(&question, &label).expect("written");
                now.undo().expect("written");
                assert!(now.stability.comparisons() <= (at - 1) / 5, "{at}");
            }
            now.answer(&question, &label).expect("written");
            if now.is_stable() {
                stable_from = stable_from.or(Some(at));
            }
            if at % 4 == 0 {
                let before = now.is_stable();
                drop(now);
                now = session(&path, &["x", "y", "z"]);
                assert_eq!(now.is_stable(), before, "{at}");
            }
        }
        assert!(stable_from.is_some_and(|at| at >= 20), "{stable_from:?}");
    }

    #[test]
    fn undo_takes_back_answers_classes_and_skips() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut session = session(&folder.path().join("j.jsonl"), &["x"]);
        let first = session.question().expect("a text");
        session.answer(&first, "late").expect("written");
        assert_eq!(session.classes(), ["x", "late"]);
        let second = session.question().expect("a text");
        session.pass(&second, Outcome::Skip).expect("written");
        assert_ne!(session.question().expect("a text").text, second.text);
        assert_eq!(session.undo().expect("written"), Some(second.text));
        assert_eq!(session.question().expect("a text"), second);
        assert_eq!(session.undo().expect("written"), Some(first.text));
        assert_eq!(session.classes(), ["x"]);
        assert_eq!(session.question().expect("a text"), first);
        assert_eq!(session.undo().expect("nothing"), None);
    }

    #[test]
    fn skipped_texts_come_back_another_time_and_unsure_ones_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j.jsonl");
        let mut first = session(&path, &[]);
        let skipped = first.question().expect("a text");
        first.pass(&skipped, Outcome::Skip).expect("written");
        let unsure = first.question().expect("a text");
        first.pass(&unsure, Outcome::Unsure).expect("written");
        drop(first);
        let mut second = session(&path, &[]);
        let mut asked = Vec::new();
        while let Some(question) = second.question() {
            asked.push(question.text);
            second.answer(&question, "x").expect("written");
        }
        assert!(asked.contains(&skipped.text) && !asked.contains(&unsure.text));
        assert_eq!(asked.len(), 29);
    }

    #[test]
    fn the_guess_is_right_after_a_label_of_each_group() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut session = session(&folder.path().join("j.jsonl"), &["x", "y", "z"]);
        for at in 0..15 {
            let question = session.question().expect("a text");
            let label = truth(&session, &question);
            if at > 6 {
                let (class, probability) = question.guess.expect("a guess");
                assert_eq!(session.classes()[class], label);
                assert!((0.34..=1.0).contains(&probability));
            }
            session.answer(&question, &label).expect("written");
        }
        assert_eq!(session.leave_one_out(), (15, 15));
    }
}
