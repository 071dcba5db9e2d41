# The part of workerd's configuration that Skerry writes, laid out as workerd reads it.
#
# Ids, names and ordinals are workerd's, because they are the wire format. Fields that we never write are called
# `unused<ordinal>`: they keep the place (and the width) of the real ones, so that all others land where workerd looks
# for them. Nothing above the highest ordinal in use is listed. Pointers that we never write are all `Data`, whatever
# they point at: every pointer is one word. We also never write defaults, so none is declared here.
#
# README.md says how to generate the Rust from it. tests/it holds it against the pinned workerd.

@0xe6afd26682091c01;

struct Config {
  services @0 :List(Service);
  sockets @1 :List(Socket);
  v8Flags @2 :List(Text);
  extensions @3 :List(Extension);
  unused4 @4 :Data;
  unused5 @5 :Bool;
  logging @6 :LoggingOptions;
}

struct LoggingOptions {
  structuredLogging @0 :Bool;
}

struct Socket {
  name @0 :Text;
  address @1 :Text;
  union {
    http @2 :HttpOptions;
    https :group {
      unused3 @3 :Data;
      unused4 @4 :Data;
    }
  }
  service @5 :ServiceDesignator;
}

struct Service {
  name @0 :Text;
  union {
    unused1 @1 :Void;
    worker @2 :Worker;
    network @3 :Network;
    external @4 :ExternalServer;
    disk @5 :DiskDirectory;
  }
}

struct ServiceDesignator {
  name @0 :Text;
  entrypoint @1 :Text;
  props :union {
    unused2 @2 :Void;
    json @3 :Text;
  }
}

struct Worker {
  union {
    modules @0 :List(Module);
    serviceWorkerScript @1 :Text;
    unused2 @2 :Data;
  }
  compatibilityDate @3 :Text;
  compatibilityFlags @4 :List(Text);
  bindings @5 :List(Binding);
  globalOutbound @6 :ServiceDesignator;
  durableObjectNamespaces @7 :List(DurableObjectNamespace);
  unused8 @8 :Data;
  durableObjectStorage :union {
    unused9 @9 :Void;
    inMemory @10 :Void;
    localDisk @12 :Text;
  }
  cacheApiOutbound @11 :ServiceDesignator;
  unused13 @13 :Data;
  tails @14 :List(ServiceDesignator);

  struct Module {
    name @0 :Text;
    union {
      esModule @1 :Text;
      commonJsModule @2 :Text;
      text @3 :Text;
      data @4 :Data;
      wasm @5 :Data;
      json @6 :Text;
      unused7 @7 :Data;
      pythonModule @8 :Text;
      pythonRequirement @9 :Text;
    }
  }

  struct Binding {
    name @0 :Text;
    union {
      unused1 @1 :Void;
      parameter :group {
        unused2 @2 :Data;
        unused3 @3 :Bool;
      }
      text @4 :Text;
      data @5 :Data;
      json @6 :Text;
      wasmModule @7 :Data;
      unused8 @8 :Data;
      service @9 :ServiceDesignator;
      durableObjectNamespace @10 :DurableObjectNamespaceDesignator;
      kvNamespace @11 :ServiceDesignator;
      r2Bucket @12 :ServiceDesignator;
      unused13 @13 :Data;
      wrapped @14 :WrappedBinding;
      queue @15 :ServiceDesignator;
    }

    struct DurableObjectNamespaceDesignator {
      className @0 :Text;
      serviceName @1 :Text;
    }

    struct WrappedBinding {
      moduleName @0 :Text;
      entrypoint @1 :Text;
      innerBindings @2 :List(Binding);
    }
  }

  struct DurableObjectNamespace {
    className @0 :Text;
    union {
      uniqueKey @1 :Text;
      unused2 @2 :Void;
    }
    preventEviction @3 :Bool;
    enableSql @4 :Bool;
  }
}

# Over TLS and over TCP are later alternatives to `http`; one alternative alone needs no union, its tag is zero.
struct ExternalServer {
  address @0 :Text;
  http @1 :HttpOptions;
}

struct Network {
  allow @0 :List(Text);
  deny @1 :List(Text);
  tlsOptions @2 :TlsOptions;
}

struct DiskDirectory {
  path @0 :Text;
  writable @1 :Bool;
}

struct HttpOptions {
  style @0 :Style;
  forwardedProtoHeader @1 :Text;
  cfBlobHeader @2 :Text;
  injectRequestHeaders @3 :List(Header);
  unused4 @4 :Data;
  capnpConnectHost @5 :Text;

  enum Style {
    host @0;
    proxy @1;
  }

  struct Header {
    name @0 :Text;
    value @1 :Text;
  }
}

struct TlsOptions {
  unused0 @0 :Data;
  unused1 @1 :Bool;
  trustBrowserCas @2 :Bool;
  trustedCertificates @3 :List(Text);
}

struct Extension {
  modules @0 :List(Module);

  struct Module {
    name @0 :Text;
    internal @1 :Bool;
    esModule @2 :Text;
  }
}
