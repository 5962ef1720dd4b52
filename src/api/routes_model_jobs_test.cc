// Model tools as jobs, over a real socket: who may, and what every outcome is in HTTP.

#include <gmock/gmock.h>

#include "api/testing/server_fixture.h"

namespace skep::api::testing {
namespace {

using ::testing::HasSubstr;

// Jobs that stay as they were submitted.
class FakeJobs final : public ModelJobs {
 public:
  Result<ModelJobId> start(ModelJobRequest request) override {
    if (refuses) return skep::fail(*refuses);
    ModelJobView job;
    job.id = jobs.size() + 1;
    job.request = std::move(request);
    jobs.push_back(std::move(job));
    return jobs.back().id;
  }
  Status cancel(ModelJobId id) override {
    if (!find(id)) return skep::fail(ErrorCode::not_found, "no such job");
    jobs[id - 1].state = ModelJobState::cancelled;
    return {};
  }
  [[nodiscard]] std::vector<ModelJobView> list() const override { return {jobs.rbegin(), jobs.rend()}; }
  [[nodiscard]] std::optional<ModelJobView> find(ModelJobId id) const override {
    return id >= 1 && id <= jobs.size() ? std::optional(jobs[id - 1]) : std::nullopt;
  }

  std::optional<Error> refuses;
  std::vector<ModelJobView> jobs;
};

class ModelJobRoutes : public ServerFixture {
 protected:
  static ApiKey key(std::string name, std::string_view secret, Role role) {
    ApiKey key;
    key.name = std::move(name);
    key.hash = sha256(secret);
    key.role = role;
    return key;
  }
  void start_with_keys() {
    options.jobs = &jobs_;
    options.auth.keys = {key("ops", "admin-secret", Role::admin), key("app", "user-secret", Role::user),
                         key("eye", "read-secret", Role::read)};
    start();
  }
  RawResponse ask(const std::string& method, const std::string& path, const std::string& secret,
                  const std::string& body = "") {
    RawClient client = connect();
    client.send(
        fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
                    method, path, secret, body.size(), body));
    return client.response();
  }

  FakeJobs jobs_;
  static constexpr const char* kPath = "/api/optimize/models";
  static constexpr const char* kJob = R"({"tool":"prune","parameters":{"ratio":0.25,"force":true}})";
};

TEST_F(ModelJobRoutes, AnAdminStartsSeesAndCancelsAJob) {
  start_with_keys();
  const auto started = ask("POST", kPath, "admin-secret", kJob);
  EXPECT_EQ(started.status, 202) << started.body;
  EXPECT_EQ(started.header("Location"), "/api/optimize/models/1");
  EXPECT_THAT(started.body, HasSubstr(R"("tool":"prune")"));
  EXPECT_EQ(on_loop([&] { return jobs_.jobs.front().request.caller; }), "ops");
  EXPECT_THAT(ask("GET", std::string(kPath) + "/1", "admin-secret").body, HasSubstr(R"("state":"queued")"));
  EXPECT_THAT(ask("DELETE", std::string(kPath) + "/1", "admin-secret").body, HasSubstr(R"("state":"cancelled")"));
}

TEST_F(ModelJobRoutes, OthersMayOnlyLook) {
  start_with_keys();
  ASSERT_EQ(ask("POST", kPath, "admin-secret", kJob).status, 202);
  for (const char* secret : {"user-secret", "read-secret"}) {
    EXPECT_EQ(ask("POST", kPath, secret, kJob).status, 403) << secret;
    EXPECT_EQ(ask("DELETE", std::string(kPath) + "/1", secret).status, 403) << secret;
    EXPECT_EQ(ask("GET", kPath, secret).status, 200) << secret;
    EXPECT_EQ(ask("GET", std::string(kPath) + "/1", secret).status, 200) << secret;
  }
  EXPECT_EQ(ask("GET", kPath, "wrong").status, 401);
  EXPECT_EQ(on_loop([&] { return jobs_.jobs.size(); }), 1U);
}

TEST_F(ModelJobRoutes, AJobThatThereIsNotIsNotFound) {
  start_with_keys();
  for (const char* id : {"/1", "/x", "/-1", "/1x", "/99999999999999999999"}) {
    EXPECT_EQ(ask("GET", std::string(kPath) + id, "admin-secret").status, 404) << id;
    EXPECT_EQ(ask("DELETE", std::string(kPath) + id, "admin-secret").status, 404) << id;
  }
}

TEST_F(ModelJobRoutes, WhatIsRefusedHasTheStatusOfItsReason) {
  start_with_keys();
  const auto refused = [&](ErrorCode code) {
    on_loop([&] { jobs_.refuses = Error{code, "the reason", "the hint"}; });
    const auto answer = ask("POST", kPath, "admin-secret", kJob);
    EXPECT_THAT(answer.body, HasSubstr("the reason"));
    return answer.status;
  };
  EXPECT_EQ(refused(ErrorCode::overloaded), 503);  // the queue is full
  EXPECT_EQ(refused(ErrorCode::invalid_argument), 400);
  EXPECT_EQ(refused(ErrorCode::not_found), 404);  // an input
  EXPECT_EQ(ask("POST", kPath, "admin-secret", R"({"parameters":{}})").status, 400);
  EXPECT_EQ(ask("POST", kPath, "admin-secret", R"({"tool":"prune","parameters":[]})").status, 400);
}

TEST_F(ModelJobRoutes, ADaemonWithoutToolsSaysSo) {
  start();
  auto client = connect();
  client.post(kPath, kJob);
  const auto answer = client.response();
  EXPECT_GE(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("runs no model tools"));
}

}  // namespace
}  // namespace skep::api::testing
