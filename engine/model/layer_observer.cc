#include "engine/model/layer_observer.h"

#include <utility>

namespace imgtrain {

namespace detail {
thread_local LayerObserver* layer_observer = nullptr;
}

LayerObserver* observe_layers(LayerObserver* observer) {
  return std::exchange(detail::layer_observer, observer);
}

}  // namespace imgtrain
