//! The one-line form and the identity of JSON values, against a model, serde_json and Python.

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod python_form;
#[cfg(test)]
mod validity;
