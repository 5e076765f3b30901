//! Every kind over HTTP: operations, wanted values, views.

use super::*;

impl App {
    async fn op(&self, op: Value) -> Answer {
        let mut op = op;
        op["soul"] = json!("a");
        let body = json!({ "ops": [op] }).to_string();
        self.send(Method::POST, "/api/v1/commits", &JSON, body).await
    }

    async fn ops(&self, ops: &[Value]) {
        for op in ops {
            let answer = self.op(op.clone()).await;
            assert_eq!(answer.status, 200, "{op} {}", answer.text());
        }
    }

    async fn data(&self) -> Value {
        self.get("/api/v1/nodes/a").await.json()["data"].take()
    }
}

#[tokio::test]
async fn operations_of_every_kind() {
    let app = App::new().await;
    app.ops(&[
        json!({"op": "increment", "field": "n", "value": 5}),
        json!({"op": "increment", "field": "n", "value": "-2"}),
        json!({"op": "enable", "field": "f"}),
        json!({"op": "set", "field": "max", "value": {"@max": 5}}),
        json!({"op": "set", "field": "max", "value": {"@max": 3}}),
        json!({"op": "set", "field": "min", "value": {"@min": 5.5}}),
        json!({"op": "set", "field": "min", "value": {"@min": 3}}),
        json!({"op": "insert", "field": "t", "kind": "text", "index": 0, "value": "hello world"}),
        json!({"op": "splice", "field": "t", "kind": "text", "index": 0, "delete": 5, "value": "goodbye"}),
        json!({"op": "insert", "field": "l", "kind": "list", "index": 0, "value": 1}),
        json!({"op": "splice", "field": "l", "kind": "list", "index": 1, "delete": 0, "value": [2, {"x": [3]}]}),
        json!({"op": "set", "field": "m", "kind": "map", "key": "a", "value": 1}),
        json!({"op": "set", "field": "m", "kind": "map", "key": "b", "value": "x"}),
        json!({"op": "remove", "field": "m", "kind": "map", "key": "a"}),
        json!({"op": "add", "field": "s", "value": 1}),
        json!({"op": "add", "field": "s", "value": 2}),
        json!({"op": "remove", "field": "s", "value": 1}),
    ])
    .await;
    let data = app.data().await;
    assert_eq!(
        data,
        json!({
            "n": {"@counter": "3"}, "f": {"@flag": true}, "max": {"@max": 5}, "min": {"@min": 3},
            "t": {"@text": "goodbye world"}, "l": {"@list": [1, 2, {"x": [3]}]}, "m": {"@map": {"b": "x"}},
            "s": {"@set": [2]},
        })
    );
    for known in [
        json!({"op": "set", "field": "max", "value": {"@max": 4}}),
        json!({"op": "remove", "field": "s", "value": 7}),
        json!({"op": "set", "field": "n", "value": {"@counter": "3"}}),
        json!({"op": "set", "field": "t", "value": {"@text": "goodbye world"}}),
    ] {
        let answer = app.op(known.clone()).await.json();
        assert_eq!(
            (&answer["commit"], &answer["results"][0]["result"], &answer["results"][0]["id"]),
            (&Value::Null, &json!("known"), &Value::Null),
            "{known}"
        );
    }
    app.ops(&[json!({"op": "disable", "field": "f"}), json!({"op": "delete", "field": "n", "erase": true})]).await;
    let data = app.data().await;
    assert!(data.get("f").is_none() && data.get("n").is_none(), "{data}");
}

#[tokio::test]
async fn wanted_values_of_every_kind_in_patch_put_and_import() {
    let app = App::new().await;
    let wanted = json!({
        "c": {"@counter": "9007199254740993"}, "f": {"@flag": true}, "l": {"@list": [1, "x"]}, "m": {"@map": {"k": 1.5}},
        "max": {"@max": -1}, "min": {"@min": 2.5}, "s": {"@set": [{"#": "b"}]}, "t": {"@text": "é😀"}, "x": 1,
    });
    assert_eq!(app.patch("a", &wanted.to_string()).await.status, 200);
    assert_eq!(app.data().await, wanted);
    let again = app.patch("a", &wanted.to_string()).await.json();
    assert_eq!(again["data"], wanted, "what is wanted twice is there once");
    let put = json!({"t": {"@text": "é"}, "x": 1});
    let answer = app.send(Method::PUT, "/api/v1/nodes/a", &JSON, put.to_string()).await;
    assert_eq!((answer.status, &answer.json()["data"]), (200, &put));
    let line = json!({"soul": "b", "data": wanted}).to_string();
    let ndjson = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let told = app.send(Method::POST, "/api/v1/import", &ndjson, line).await.lines();
    assert_eq!(told.last().unwrap()["done"]["errors"], 0, "{told:?}");
    assert_eq!(app.get("/api/v1/nodes/b").await.json()["data"], wanted);
    let strings = app.get("/api/v1/nodes/b?ints=string").await.json();
    assert_eq!(strings["data"]["c"], json!({"@counter": "9007199254740993"}));
}

#[tokio::test]
async fn what_fits_no_kind_is_blamed() {
    let app = App::new().await;
    app.ops(&[json!({"op": "insert", "field": "t", "kind": "text", "index": 0, "value": "😀"})]).await;
    for (op, code, field) in [
        (json!({"op": "insert", "field": "t", "kind": "text", "index": 1, "value": "x"}), "bad_value", "ops.0"),
        (json!({"op": "set", "field": "n", "value": {"@counter": "x"}}), "bad_value", "ops.0.value"),
        (json!({"op": "set", "field": "n", "value": {"@max": "x"}}), "bad_value", "ops.0.value"),
        (json!({"op": "set", "field": "n", "value": {"@flag": 1}}), "bad_value", "ops.0.value"),
        (json!({"op": "set", "field": "n", "value": {"@text": 1}}), "bad_value", "ops.0.value"),
        (json!({"op": "set", "field": "n", "value": {"@frob": 1}}), "bad_value", "ops.0.value"),
        (json!({"op": "insert", "field": "l", "kind": "list", "index": 7, "value": 1}), "out_of_range", "ops.0"),
    ] {
        let answer = app.op(op.clone()).await;
        assert_eq!(answer.problem().1, code, "{op} {}", answer.text());
        assert!(answer.json()["field"].as_str().unwrap_or_default().starts_with(field), "{op} {}", answer.text());
    }
}

#[tokio::test]
async fn one_commit_holds_operations_of_many_kinds_or_none() {
    let app = App::new().await;
    let body = json!({"ops": [
        {"op": "increment", "soul": "a", "field": "n", "value": 1},
        {"op": "increment", "soul": "a", "field": "n", "value": 2},
        {"op": "enable", "soul": "b", "field": "f"},
        {"op": "insert", "soul": "b", "field": "t", "kind": "text", "index": 0, "value": "ab"},
        {"op": "insert", "soul": "b", "field": "t", "kind": "text", "index": 1, "value": "-"},
    ]});
    let answer = app.send(Method::POST, "/api/v1/commits", &JSON, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let results: Vec<Value> = answer.json()["results"].as_array().unwrap().iter().map(|one| one["i"].clone()).collect();
    assert_eq!(results, [0, 1, 2, 3, 4].map(Value::from));
    assert_eq!(app.data().await, json!({"n": {"@counter": "3"}}));
    assert_eq!(app.get("/api/v1/nodes/b").await.json()["data"], json!({"f": {"@flag": true}, "t": {"@text": "a-b"}}));
    let body = json!({"ops": [
        {"op": "increment", "soul": "a", "field": "n", "value": 1},
        {"op": "set", "soul": "a", "field": "n", "value": {"@max": "x"}},
    ]});
    let refused = app.send(Method::POST, "/api/v1/commits", &JSON, body.to_string()).await;
    assert_eq!(refused.problem().0, 422);
    assert_eq!(app.data().await, json!({"n": {"@counter": "3"}}));
}

#[tokio::test]
async fn history_tells_what_was() {
    let app = App::new().await;
    for x in 0..5 {
        app.clock.advance(1000);
        app.patch("a", &json!({ "x": x }).to_string()).await;
    }
    let page = app.get("/api/v1/history/a/x?limit=2").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let values = |page: &Value| -> Vec<Value> {
        page["entries"].as_array().unwrap().iter().map(|entry| entry["value"].clone()).collect()
    };
    let first = page.json();
    let next = first["next"].as_str().unwrap_or_else(|| panic!("{first}")).to_owned();
    let rest = app.get(&format!("/api/v1/history/a/x?limit=100&cursor={next}")).await.json();
    let mut all = values(&first);
    all.extend(values(&rest));
    all.retain(|value| *value != 4);
    assert_eq!(all, [3, 2, 1, 0].map(Value::from), "the latest first");
    assert_eq!(app.get("/api/v1/history/a/x?cursor=zz").await.problem(), (400, "malformed".into()));
    assert_eq!(app.get("/api/v1/history/a/%00").await.problem(), (422, "bad_field".into()));
}

#[tokio::test]
async fn meta_tells_all_sides() {
    let app = App::new().await;
    app.patch("a", "{\"x\":1}").await;
    app.clock.advance(1000);
    app.patch("a", "{\"x\":2}").await;
    let meta = app.get("/api/v1/nodes/a?meta=true").await.json();
    let sides = meta["meta"]["x"]["sides"].as_array().unwrap_or_else(|| panic!("{meta}")).clone();
    let told: Vec<(Value, Value)> = sides.iter().map(|side| (side["value"].clone(), side["reason"].clone())).collect();
    assert_eq!(told, [(json!(2), json!("won")), (json!(1), json!("lower_stamp"))]);
    assert_eq!(sides[1]["seen"], true, "the later writer had seen it");
}
