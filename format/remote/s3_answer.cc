#include "format/remote/s3_answer.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <charconv>
#include <memory>

namespace imgpack::remote {
namespace {

class Document {
 public:
  explicit Document(std::string_view xml)
      : document_(xmlReadMemory(xml.data(), static_cast<int>(xml.size()), nullptr, nullptr,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING),
                  &xmlFreeDoc) {}

  // nullptr: not XML, another root, or a document that brings entities of its own, as S3's never do.
  const xmlNode* root(std::string_view name) const {
    if (document_ == nullptr || xmlGetIntSubset(document_.get()) != nullptr) return nullptr;
    const xmlNode* node = xmlDocGetRootElement(document_.get());
    return node != nullptr && is(*node, name) ? node : nullptr;
  }

  static bool is(const xmlNode& node, std::string_view name) {
    return node.type == XML_ELEMENT_NODE && name == reinterpret_cast<const char*>(node.name);
  }

 private:
  std::unique_ptr<xmlDoc, void (*)(xmlDoc*)> document_;
};

std::string text_of(const xmlNode& node) {
  xmlChar* content = xmlNodeGetContent(&node);
  if (content == nullptr) return {};
  std::string text(reinterpret_cast<const char*>(content));
  xmlFree(content);
  return text;
}

std::string child_text(const xmlNode& parent, std::string_view name) {
  for (const xmlNode* node = parent.children; node != nullptr; node = node->next)
    if (Document::is(*node, name)) return text_of(*node);
  return {};
}

}  // namespace

std::optional<S3Error> parse_s3_error(std::string_view xml) {
  const Document document(xml);
  const xmlNode* root = document.root("Error");
  if (root == nullptr) return std::nullopt;
  return S3Error{child_text(*root, "Code"), child_text(*root, "Message"), child_text(*root, "Region")};
}

std::optional<S3Listing> parse_s3_listing(std::string_view xml) {
  const Document document(xml);
  const xmlNode* root = document.root("ListBucketResult");
  if (root == nullptr) return std::nullopt;
  S3Listing listing;
  for (const xmlNode* node = root->children; node != nullptr; node = node->next) {
    if (Document::is(*node, "Contents")) {
      S3Listed object{child_text(*node, "Key"), 0};
      const std::string size = child_text(*node, "Size");
      const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), object.bytes);
      if (error != std::errc() || end != size.data() + size.size() || object.key.empty()) return std::nullopt;
      listing.objects.push_back(std::move(object));
    } else if (Document::is(*node, "CommonPrefixes")) {
      listing.prefixes.push_back(child_text(*node, "Prefix"));
    }
  }
  if (child_text(*root, "IsTruncated") == "true") {
    listing.next = child_text(*root, "NextContinuationToken");
    if (listing.next.empty()) return std::nullopt;
  }
  return listing;
}

std::optional<std::string> parse_upload_id(std::string_view xml) {
  const Document document(xml);
  const xmlNode* root = document.root("InitiateMultipartUploadResult");
  if (root == nullptr) return std::nullopt;
  std::string id = child_text(*root, "UploadId");
  return id.empty() ? std::nullopt : std::optional(std::move(id));
}

std::optional<std::string> parse_completed_etag(std::string_view xml) {
  const Document document(xml);
  const xmlNode* root = document.root("CompleteMultipartUploadResult");
  return root == nullptr ? std::nullopt : std::optional(child_text(*root, "ETag"));
}

std::string escape_xml(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace imgpack::remote
