//! Gives the keys of a value the case that its type has them in.
//!
//! Which keys are fields, and which are names that users choose (labels, options), is told by the
//! type's JSON schema. A key that no field has in any case stays as it is.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Schemas are the same for ever, and made but once.
static MADE: Mutex<BTreeMap<TypeId, Arc<Value>>> = Mutex::new(BTreeMap::new());

/// Renames what `T` has in another case, at any depth; says how many keys.
pub(super) fn rename<T: JsonSchema + 'static>(value: &mut Value) -> usize {
    let root = schema::<T>();
    within(&root, &root, value)
}

fn schema<T: JsonSchema + 'static>() -> Arc<Value> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let settings = SchemaSettings::draft2020_12().for_deserialize();
        Arc::new(settings.into_generator().into_root_schema_for::<T>().to_value())
    };
    made.entry(TypeId::of::<T>()).or_insert_with(make).clone()
}

fn within(root: &Value, schema: &Value, value: &mut Value) -> usize {
    let mut renamed = 0;
    if let Some(place) = schema["$ref"].as_str() {
        let target = root.pointer(place.trim_start_matches('#')).unwrap_or(&Value::Null);
        renamed += within(root, target, value);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for schema in schema[choice].as_array().into_iter().flatten() {
            renamed += within(root, schema, value);
        }
    }
    match value {
        Value::Object(fields) => {
            let known = schema["properties"].as_object();
            renamed += known.map_or(0, |known| rename_fields(known, fields));
            for (key, value) in fields {
                let known = known.and_then(|known| known.get(key));
                renamed += within(root, known.unwrap_or(&schema["additionalProperties"]), value);
            }
        }
        Value::Array(items) => {
            renamed +=
                items.iter_mut().map(|item| within(root, &schema["items"], item)).sum::<usize>();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    renamed
}

fn rename_fields(known: &Map<String, Value>, fields: &mut Map<String, Value>) -> usize {
    let meant = |key: &String| {
        let field = known.keys().find(|field| field.eq_ignore_ascii_case(key))?;
        (!known.contains_key(key)).then(|| (key.clone(), field.clone()))
    };
    let others: Vec<(String, String)> = fields.keys().filter_map(meant).collect();
    let mut renamed = 0;
    for (key, field) in others {
        if !fields.contains_key(&field)
            && let Some(value) = fields.remove(&key)
        {
            fields.insert(field, value);
            renamed += 1;
        }
    }
    renamed
}
