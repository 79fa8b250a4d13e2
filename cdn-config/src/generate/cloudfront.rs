//! CloudFront: a CloudFormation template with one distribution.

use serde_json::{Map, Value, json};

use super::{GenerateError, Generated, tell_streams, word};
use crate::names::{Country, Name};
use crate::network::{Cache, Network, Origin, Route};

/// Managed policies of CloudFront: nothing is kept; everything but the host name is passed on.
const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
const ALL_BUT_HOST: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";
/// What no route takes.
const NOWHERE: &str =
    "function handler(event) { return { statusCode: 404, statusDescription: 'Not Found' }; }";

/// The template as it grows, route by route.
#[derive(Default)]
struct Template {
    resources: Map<String, Value>,
    groups: Vec<Value>,
    behaviors: Vec<Value>,
    /// What the route for every path says.
    everything: Option<Value>,
    left_out: Vec<String>,
}

pub(super) fn generate(network: &Network) -> Result<Generated, GenerateError> {
    let mut template = Template::default();
    for route in network.ranked() {
        if route.host.is_some() {
            return Err(GenerateError::Open { route: route.title(), what: "a route of one host" });
        }
        check_access(network, route)?;
        template.route(network, route);
    }
    let nowhere = network.origins.first().filter(|_| template.everything.is_none());
    if let Some(origin) = nowhere {
        template.nowhere(origin);
    }
    Ok(template.finish(network))
}

impl Template {
    fn route(&mut self, network: &Network, route: &Route) {
        if network.limit_of(route).is_some() {
            self.left_out.push(format!("route {}: limits are set in AWS WAF", route.title()));
        }
        tell_streams(network, route, &mut self.left_out);
        let policy = if network.token_of(route).is_some() {
            json!(CACHING_DISABLED)
        } else {
            let cache = network.cache_of(route);
            let id = format!("Cache{}", camel(&cache.name));
            self.resources.insert(id.clone(), policy(&cache));
            json!({"Ref": id})
        };
        let mut behavior = object(json!({
            "TargetOriginId": target(network, route, &mut self.groups),
            "ViewerProtocolPolicy": "redirect-to-https",
            "AllowedMethods": ["GET", "HEAD", "OPTIONS"],
            "Compress": false,
            "CachePolicyId": policy,
            "OriginRequestPolicyId": ALL_BUT_HOST,
        }));
        if route.path.prefix() == Some("/") {
            self.everything = Some(Value::Object(behavior));
        } else {
            behavior.insert("PathPattern".into(), json!(route.path));
            self.behaviors.push(Value::Object(behavior));
        }
    }

    /// What no route takes is not found; a distribution has to name an origin all the same.
    fn nowhere(&mut self, origin: &Origin) {
        let function = json!({
            "Type": "AWS::CloudFront::Function",
            "Properties": {
                "Name": "nexus-nowhere",
                "AutoPublish": true,
                "FunctionCode": NOWHERE,
                "FunctionConfig": {"Comment": "no route", "Runtime": "cloudfront-js-2.0"},
            },
        });
        self.resources.insert("Nowhere".into(), function);
        let arn = json!({"Fn::GetAtt": ["Nowhere", "FunctionARN"]});
        self.everything = Some(json!({
            "TargetOriginId": origin.name,
            "ViewerProtocolPolicy": "redirect-to-https",
            "CachePolicyId": CACHING_DISABLED,
            "FunctionAssociations": [{"EventType": "viewer-request", "FunctionARN": arn}],
        }));
    }

    fn finish(mut self, network: &Network) -> Generated {
        let mut distribution = object(json!({
            "Enabled": true,
            "HttpVersion": "http2and3",
            "Origins": network.origins.iter().map(origin).collect::<Vec<_>>(),
            "OriginGroups": {"Quantity": self.groups.len(), "Items": self.groups},
            "CacheBehaviors": self.behaviors,
            "DefaultCacheBehavior": self.everything,
        }));
        if let Some(tls) = &network.tls {
            distribution.insert("Aliases".into(), json!(tls.hosts));
            self.left_out.push("tls: add ViewerCertificate with a certificate of ACM".into());
        }
        if let Some(countries) = countries(network) {
            distribution.insert("Restrictions".into(), json!({"GeoRestriction": countries}));
        }
        let nexus = json!({
            "Type": "AWS::CloudFront::Distribution",
            "Properties": {"DistributionConfig": distribution},
        });
        self.resources.insert("Nexus".into(), nexus);
        let template = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": "Made by nexus cdn generate cloudfront",
            "Resources": self.resources,
        });
        self.left_out.sort();
        self.left_out.dedup();
        Generated { text: format!("{template:#}\n"), left_out: self.left_out }
    }
}

/// What `json!` makes of braces.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// A distribution has one rule about countries, and none about networks.
fn check_access(network: &Network, route: &Route) -> Result<(), GenerateError> {
    let open = |what| Err(GenerateError::Open { route: route.title(), what });
    let access = network.access_of(route);
    if access.is_some_and(|a| !a.allow.is_empty() || !a.deny.is_empty()) {
        return open("a rule about networks (it is one of AWS WAF)");
    }
    let all_the_same = network.routes.iter().all(|other| other.access == route.access);
    let both = access.is_some_and(|a| !a.countries_allow.is_empty() && !a.countries_deny.is_empty());
    if access.is_some() && (!all_the_same || both) {
        return open("another rule about countries than for all routes, or two kinds of it");
    }
    Ok(())
}

fn countries(network: &Network) -> Option<Value> {
    let access = network.access_of(network.routes.first()?)?;
    let (kind, list): (&str, &Vec<Country>) = if access.countries_allow.is_empty() {
        ("blacklist", &access.countries_deny)
    } else {
        ("whitelist", &access.countries_allow)
    };
    Some(json!({"RestrictionType": kind, "Locations": list}))
}

fn origin(origin: &Origin) -> Value {
    let site = &origin.http;
    let (policy, port) = if site.tls() { ("https-only", "HTTPSPort") } else { ("http-only", "HTTPPort") };
    let custom = json!({"OriginProtocolPolicy": policy, "OriginReadTimeout": 60, port: site.port()});
    json!({"Id": origin.name, "DomainName": site.host(), "CustomOriginConfig": custom})
}

/// An origin, or the group of the first two: there are no more in a group.
fn target(network: &Network, route: &Route, groups: &mut Vec<Value>) -> String {
    let mut names = network.origins_of(route).map(|origin| word(&origin.name));
    let (Some(first), Some(second)) = (names.next(), names.next()) else {
        return route.origins.first().map(Name::to_string).unwrap_or_default();
    };
    let id = format!("{first}-then-{second}");
    let group = json!({
        "Id": id,
        "FailoverCriteria": {"StatusCodes": {"Quantity": 4, "Items": [500, 502, 503, 504]}},
        "Members": {"Quantity": 2, "Items": route.origins.iter().take(2).map(|n| json!({"OriginId": n})).collect::<Vec<_>>()},
    });
    if !groups.contains(&group) {
        groups.push(group);
    }
    id
}

fn policy(cache: &Cache) -> Value {
    let seconds = cache.media_s.unwrap_or(0);
    json!({
        "Type": "AWS::CloudFront::CachePolicy",
        "Properties": {"CachePolicyConfig": {
            "Name": format!("nexus-{}", cache.name),
            "MinTTL": 0,
            "DefaultTTL": seconds,
            "MaxTTL": cache.media_s.unwrap_or(31_536_000),
            "ParametersInCacheKeyAndForwardedToOrigin": {
                "EnableAcceptEncodingGzip": true,
                "EnableAcceptEncodingBrotli": true,
                "CookiesConfig": {"CookieBehavior": "none"},
                "HeadersConfig": {"HeaderBehavior": "none"},
                "QueryStringsConfig": {
                    "QueryStringBehavior": "whitelist",
                    "QueryStrings": cache.parameters().collect::<Vec<_>>(),
                },
            },
        }},
    })
}

/// `eu-west` as `EuWest`: names of resources have no hyphens.
fn camel(name: &Name) -> String {
    let upper =
        |part: &str| part.get(..1).map(|first| first.to_ascii_uppercase() + part.get(1..).unwrap_or(""));
    name.as_str().split('-').filter_map(upper).collect()
}
