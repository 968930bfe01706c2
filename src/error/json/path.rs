//! Where in a JSON document reading it fails, found by reading it once more.
//!
//! The place is told in the words of the type: names of fields and variants, and numbers of elements.
//! Keys of maps are data, and are left out.

#[cfg(test)]
mod tests;

use std::{cell::RefCell, fmt};

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

/// The path to what can't be read as a `T`, such as `lines[2].price`; empty for the document itself.
pub(super) fn of_failure<T: DeserializeOwned>(json: &[u8]) -> String {
    let path = Path::default();
    let mut document = serde_json::Deserializer::from_slice(json);
    let read = T::deserialize(Tracked {
        inner: &mut document,
        path: &path,
    });
    match read {
        Ok(_) => String::new(),
        Err(_) => path.to_string(),
    }
}

/// The way from the document to what is being read. Where reading fails, it stays as it is.
#[derive(Default)]
struct Path(RefCell<Vec<Step>>);

enum Step {
    /// A field or a variant.
    Name(&'static str),
    Element(usize),
    /// The value of a map.
    Value,
}

impl Path {
    /// Reads one step deeper.
    fn at<T, E>(&self, step: Step, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.0.borrow_mut().push(step);
        let value = read()?;
        self.0.borrow_mut().pop();
        Ok(value)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.borrow().iter().enumerate() {
            match step {
                Step::Name(name) if depth == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Element(number) => write!(f, "[{number}]")?,
                Step::Value => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

fn named<'p, I>(inner: I, path: &'p Path, names: &'static [&'static str]) -> Named<'p, I> {
    Named { inner, path, names }
}

/// A deserializer, visitor, seed or access that keeps the path.
struct Tracked<'p, I> {
    inner: I,
    path: &'p Path,
}

/// The same with names that the type knows: of fields, or of variants.
struct Named<'p, I> {
    inner: I,
    path: &'p Path,
    names: &'static [&'static str],
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Tracked<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { inner, path } = self;
        inner.deserialize_any(named(visitor, path, &[]))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { inner, path } = self;
        inner.deserialize_option(named(visitor, path, &[]))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let Self { inner, path } = self;
        inner.deserialize_newtype_struct(name, named(visitor, path, &[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let Self { inner, path } = self;
        let visitor = named(visitor, path, fields);
        inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let Self { inner, path } = self;
        let visitor = named(visitor, path, variants);
        inner.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

macro_rules! passed_on {
    ($($visit:ident($value:ty);)*) => {$(
        fn $visit<E: Error>(self, value: $value) -> Result<V::Value, E> {
            self.inner.$visit(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    passed_on! {
        visit_bool(bool);
        visit_i64(i64);
        visit_i128(i128);
        visit_u64(u64);
        visit_u128(u128);
        visit_f64(f64);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let path = self.path;
        self.inner.visit_some(Tracked { inner, path })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let path = self.path;
        self.inner.visit_newtype_struct(Tracked { inner, path })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self { path, .. } = self;
        self.inner.visit_seq(Elements {
            inner,
            path,
            next: 0,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self { path, names, .. } = self;
        self.inner.visit_map(Fields {
            inner,
            path,
            names,
            at: None,
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self { path, names, .. } = self;
        self.inner.visit_enum(Named { inner, path, names })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Tracked<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let path = self.path;
        self.inner.deserialize(Tracked { inner, path })
    }
}

struct Elements<'p, A> {
    inner: A,
    path: &'p Path,
    next: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        let Self { inner, path, next } = self;
        let step = Step::Element(*next);
        *next += 1;
        path.at(step, || {
            inner.next_element_seed(Tracked { inner: seed, path })
        })
    }
}

struct Fields<'p, A> {
    inner: A,
    path: &'p Path,
    names: &'static [&'static str],
    at: Option<&'static str>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Self { names, at, .. } = self;
        *at = None;
        self.inner.next_key_seed(Name {
            inner: seed,
            names,
            at,
        })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let Self { inner, path, .. } = self;
        let step = self.at.map_or(Step::Value, Step::Name);
        path.at(step, || {
            inner.next_value_seed(Tracked { inner: seed, path })
        })
    }
}

/// Reads a name, and notes which of those that the type knows it is.
struct Name<'n, I> {
    inner: I,
    names: &'static [&'static str],
    at: &'n mut Option<&'static str>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Name<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        if self.names.is_empty() {
            return self.inner.deserialize(inner);
        }
        let Self { names, at, .. } = self;
        self.inner.deserialize(Name { inner, names, at })
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Name<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, inner: V) -> Result<V::Value, D::Error> {
        let Self { names, at, .. } = self;
        self.inner.deserialize_str(Name { inner, names, at })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Name<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        *self.at = self.names.iter().find(|known| **known == name).copied();
        self.inner.visit_str(name)
    }
}

struct Variant<'p, A> {
    inner: A,
    path: &'p Path,
    step: Step,
}

impl<'de, 'p, A: EnumAccess<'de>> EnumAccess<'de> for Named<'p, A> {
    type Error = A::Error;
    type Variant = Variant<'p, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let Self { path, names, .. } = self;
        let mut at = None;
        let name = Name {
            inner: seed,
            names,
            at: &mut at,
        };
        let (value, inner) = self.inner.variant_seed(name)?;
        let step = at.map_or(Step::Value, Step::Name);
        Ok((value, Variant { inner, path, step }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Variant<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.path.at(self.step, || self.inner.unit_variant())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let Self { inner, path, step } = self;
        path.at(step, || {
            inner.newtype_variant_seed(Tracked { inner: seed, path })
        })
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let Self { inner, path, step } = self;
        path.at(step, || {
            inner.tuple_variant(length, named(visitor, path, &[]))
        })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let Self { inner, path, step } = self;
        path.at(step, || {
            inner.struct_variant(fields, named(visitor, path, fields))
        })
    }
}
