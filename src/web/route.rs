//! What one line of the list of routes is made of: an address, its methods, who may use each, what goes in and what
//! comes out. The API reference is made from the same lines (`openapi`).
use actix_web::Route;
use actix_web::guard;
use actix_web::http::StatusCode;
use actix_web::web;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::access::role::Role;

/// What the caller of a method must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Anyone,
    Needs(Role),
}

pub const VIEWER: Access = Access::Needs(Role::Viewer);
pub const OPERATOR: Access = Access::Needs(Role::Operator);
pub const ADMIN: Access = Access::Needs(Role::Admin);

/// One address with what it answers to.
pub struct Resource {
    pub path: &'static str,
    pub methods: Vec<Method>,
}

/// One method of an address.
pub struct Method {
    /// The names that this method answers to, the first one its own.
    pub names: &'static [&'static str],
    pub access: Access,
    /// One line for the API reference.
    pub summary: &'static str,
    pub query: Option<Shape>,
    /// A header that is understood, and what it is for.
    pub header: Option<(&'static str, &'static str)>,
    pub body: Option<Body>,
    pub answer: Answer,
    /// What else it answers with 200, by what it was asked for.
    pub or: Vec<Shape>,
    pub route: Route,
}

/// Says what a type looks like as JSON.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a request carries.
#[derive(Clone, Copy)]
pub enum Body {
    Json(Shape),
    /// A workflow, by the schema that is published for it.
    Workflow,
}

/// What a method answers when all went well.
#[derive(Clone, Copy)]
pub enum Answer {
    Json(StatusCode, Shape),
    /// Something that is not JSON, by its media type.
    Other(&'static str),
    /// A status alone.
    Nothing(StatusCode),
    /// A page, or a part of one: it is not in the API reference.
    Page,
}

pub fn at<const N: usize>(path: &'static str, methods: [Method; N]) -> Resource {
    Resource { path, methods: methods.into() }
}

/// `HEAD` is `GET` without its body.
pub fn get(access: Access, summary: &'static str) -> Method {
    method(&["GET", "HEAD"], access, summary, web::route().guard(guard::Any(guard::Get()).or(guard::Head())))
}

pub fn post(access: Access, summary: &'static str) -> Method {
    method(&["POST"], access, summary, web::post())
}

pub fn delete(access: Access, summary: &'static str) -> Method {
    method(&["DELETE"], access, summary, web::delete())
}

fn method(names: &'static [&'static str], access: Access, summary: &'static str, route: Route) -> Method {
    Method {
        names,
        access,
        summary,
        query: None,
        header: None,
        body: None,
        answer: Answer::Page,
        or: Vec::new(),
        route,
    }
}

impl Method {
    /// The fields of `T` are what may stand after the `?`.
    pub fn query<T: JsonSchema>(self) -> Method {
        Method { query: Some(T::json_schema), ..self }
    }

    pub fn header(self, name: &'static str, about: &'static str) -> Method {
        Method { header: Some((name, about)), ..self }
    }

    pub fn takes<T: JsonSchema>(self) -> Method {
        Method { body: Some(Body::Json(SchemaGenerator::subschema_for::<T>)), ..self }
    }

    pub fn takes_workflow(self) -> Method {
        Method { body: Some(Body::Workflow), ..self }
    }

    pub fn gives<T: JsonSchema>(self, status: StatusCode) -> Method {
        Method { answer: Answer::Json(status, SchemaGenerator::subschema_for::<T>), ..self }
    }

    pub fn or_gives<T: JsonSchema>(mut self) -> Method {
        self.or.push(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub fn gives_other(self, media_type: &'static str) -> Method {
        Method { answer: Answer::Other(media_type), ..self }
    }

    pub fn gives_nothing(self, status: StatusCode) -> Method {
        Method { answer: Answer::Nothing(status), ..self }
    }

    pub fn to<F, Args>(self, handler: F) -> Method
    where
        F: actix_web::Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        Method { route: self.route.to(handler), ..self }
    }
}
