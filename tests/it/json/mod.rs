//! The one-line form and the identity of JSON values, against a model, serde_json and Python.

mod damage;
mod model;
mod properties;
mod python_form;
mod validity;
