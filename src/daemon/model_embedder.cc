#include "daemon/model_embedder.h"

#include <algorithm>

namespace skep::daemon {

Result<model::ModelInfo> ModelEmbedder::model() const {
  const std::string& named = config_.long_term.embedder;
  if (named == "none") return fail(ErrorCode::unavailable, "long_term.embedder is none");
  if (!named.empty()) return directory_.find(named);
  const auto models = directory_.models();
  const auto embeds = std::find_if(models.begin(), models.end(), [](const model::ModelInfo& m) { return m.embeds; });
  if (embeds != models.end()) return *embeds;
  if (auto fast = directory_.tier("fast")) return fast;
  return fail(ErrorCode::unavailable, "there is no embedding model, and no model of the fast tier",
              "put one into a model folder, or name one as long_term.embedder");
}

Result<std::string> ModelEmbedder::identity() {
  SKEP_TRY(const model::ModelInfo info, model());
  return info.name + "|" + info.hash;
}

void ModelEmbedder::embed(std::vector<std::string> texts,
                          std::function<void(Result<std::vector<std::vector<float>>>)> done) {
  const auto info = model();
  engine::Embed input;
  input.inputs = std::move(texts);
  // A model that has gone since is not_found, which embed() tells in its own time.
  backend_.embed(info ? info->name : config_.long_term.embedder, std::move(input), "memory",
                 [done = std::move(done)](api::Backend::EmbedResult answer) {
                   if (!answer) return done(fail(answer.error().error));
                   done(std::move(answer->embeddings.vectors));
                 });
}

}  // namespace skep::daemon
